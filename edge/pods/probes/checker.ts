/**
 * Carries out one probe: resolves its target, runs it within its time, and says in kubelet's words
 * how it went. `errored` is a probe that could not be made at all: it changes nothing.
 */
import type { Clock } from "../../../shared/clock.ts";
import { errorChain, isAppError } from "../../../shared/errors.ts";
import type { Container, Probe } from "../../../shared/k8s/types.ts";
import { KUBERNETES_VERSION } from "../../../shared/version.ts";
import { type ContainerRuntime, isDeadline } from "../../cri/port.ts";
import { OverdueError, within } from "../within.ts";
import type { CheckAnswer, NetworkChecks } from "./network_checks.ts";
import { joinHostPort, type ProbeTarget, probeTarget } from "./target.ts";

/** "1.33", as kubelet names itself to what it probes. */
const RELEASE = KUBERNETES_VERSION.replace(/^v(\d+\.\d+).*/, "$1");
export const PROBE_AGENT = `kube-probe/${RELEASE}`;
export const LIFECYCLE_AGENT = `kube-lifecycle/${RELEASE}`;

/** kubelet repeats a probe that could not be made this often at once. */
const TRIES_MAX = 3;
const OUTPUT_BYTES_MAX = 10 * 1024;

export type Checked =
  | { kind: "success"; warning: string }
  | { kind: "failure"; message: string }
  /** `silent`: the runtime is away, which the node says itself. */
  | { kind: "errored"; message: string; silent: boolean };

export interface ProbeRequest {
  probe: Probe;
  container: Container;
  containerId: string;
  podIp: string;
  timeoutSeconds: number;
}

export class Checker {
  readonly #runtime: ContainerRuntime;
  readonly #network: NetworkChecks;
  readonly #clock: Clock;

  constructor(runtime: ContainerRuntime, network: NetworkChecks, clock: Clock) {
    this.#runtime = runtime;
    this.#network = network;
    this.#clock = clock;
  }

  /** Rejects only when `signal` aborts. */
  async check(request: ProbeRequest, signal: AbortSignal): Promise<Checked> {
    let checked: Checked = { kind: "errored", message: "", silent: true };
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      checked = await this.#once(request, signal);
      if (checked.kind !== "errored" || checked.silent) break;
    }
    return checked;
  }

  async #once(request: ProbeRequest, signal: AbortSignal): Promise<Checked> {
    try {
      const target = probeTarget(request.probe, request.container, request.podIp, PROBE_AGENT);
      if (target.kind === "exec") return await this.#exec(request, target.command, signal);
      const answer = await this.#onNetwork(target, request.timeoutSeconds, signal);
      return answer.ok
        ? { kind: "success", warning: answer.message }
        : { kind: "failure", message: answer.message };
    } catch (error) {
      signal.throwIfAborted();
      const silent = isAppError(error, "unavailable");
      return { kind: "errored", message: errorChain(error), silent };
    }
  }

  async #exec(request: ProbeRequest, cmd: string[], signal: AbortSignal): Promise<Checked> {
    const { containerId, timeoutSeconds } = request;
    try {
      const timeout = BigInt(Math.ceil(timeoutSeconds));
      const answer = await this.#runtime.execSync({ containerId, cmd, timeout }, signal);
      if (answer.exitCode === 0) return { kind: "success", warning: "" };
      return { kind: "failure", message: textOf(answer.stdout, answer.stderr) };
    } catch (error) {
      // A runtime that stalls says nothing of the container; that a command is too slow, it says.
      const isSaid = isDeadline(error) && isAppError(error) && error.facts.socket === undefined;
      if (!isSaid) throw error;
      return { kind: "failure", message: `command "${cmd.join(" ")}" timed out` };
    }
  }

  async #onNetwork(
    target: Exclude<ProbeTarget, { kind: "exec" }>,
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<CheckAnswer> {
    try {
      const work = (bound: AbortSignal) => this.#ask(target, bound);
      return await within(this.#clock, timeoutSeconds * 1000, work, signal);
    } catch (error) {
      if (!(error instanceof OverdueError)) throw error;
      return { ok: false, message: overdueWords(target, timeoutSeconds) };
    }
  }

  #ask(
    target: Exclude<ProbeTarget, { kind: "exec" }>,
    signal: AbortSignal,
  ): Promise<CheckAnswer> {
    switch (target.kind) {
      case "http":
        return this.#network.http(target, signal);
      case "tcp":
        return this.#network.tcp(target.host, target.port, signal);
      case "grpc":
        return this.#network.grpc(target, signal);
    }
  }
}

function overdueWords(target: Exclude<ProbeTarget, { kind: "exec" }>, seconds: number): string {
  switch (target.kind) {
    case "http":
      return `Get "${target.shown}": context deadline exceeded ` +
        "(Client.Timeout exceeded while awaiting headers)";
    case "tcp":
      return `dial tcp ${joinHostPort(target.host, target.port)}: i/o timeout`;
    case "grpc":
      return `timeout: health rpc did not complete within ${seconds}s`;
  }
}

function textOf(...parts: Uint8Array[]): string {
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part.subarray(0, OUTPUT_BYTES_MAX))).join("");
}
