/**
 * Carries out postStart and preStop. A hook that fails is a HookError in kubelet's words; it has no
 * cause, because what a container answers says nothing about the runtime. A runtime that is away is
 * thrown as it is.
 */
import type { Clock } from "../../shared/clock.ts";
import { errorChain, isAppError } from "../../shared/errors.ts";
import type { Container, LifecycleHandler } from "../../shared/k8s/types.ts";
import type { PodRef } from "../../shared/wire/report.ts";
import { type ContainerRuntime, isDeadline } from "../cri/port.ts";
import { podTitle } from "./marks.ts";
import { LIFECYCLE_AGENT } from "./probes/checker.ts";
import type { NetworkChecks } from "./probes/network_checks.ts";
import { execCommand, httpTarget } from "./probes/target.ts";
import { within } from "./within.ts";

export class HookError extends Error {
  override readonly name = "HookError";
}

export interface HookPlace {
  ref: PodRef;
  container: Container;
  containerId: string;
  podIp: string;
}

/** An HTTP hook without an answer for so long has failed; kubelet's client waits as long. */
const HTTP_MS_MAX = 30_000;
const OUTPUT_BYTES_MAX = 10 * 1024;

export class Hooks {
  readonly #runtime: ContainerRuntime;
  readonly #network: NetworkChecks;
  readonly #clock: Clock;

  constructor(runtime: ContainerRuntime, network: NetworkChecks, clock: Clock) {
    this.#runtime = runtime;
    this.#network = network;
    this.#clock = clock;
  }

  async run(handler: LifecycleHandler, place: HookPlace, signal: AbortSignal): Promise<void> {
    if (handler.exec) return await this.#exec(handler.exec.command, place, signal);
    if (handler.httpGet) return await this.#http(handler.httpGet, place, signal);
    if (handler.sleep) {
      const seconds = Number(handler.sleep.seconds);
      return await this.#clock.sleep(seconds > 0 ? seconds * 1000 : 0, signal);
    }
    // Kubernetes takes a tcpSocket and does nothing with it.
    if (handler.tcpSocket) return;
    throw new HookError("invalid handler: it names no action");
  }

  async #exec(
    command: string[] | undefined,
    place: HookPlace,
    signal: AbortSignal,
  ): Promise<void> {
    const { containerId } = place;
    const cmd = execCommand(command, place.container);
    const fail = (why: string, said = "") => {
      const what = `Exec lifecycle hook ([${cmd.join(" ")}])`;
      return failed(what, place, `${why}, message: ${JSON.stringify(said)}`);
    };
    const answer = await this.#runtime.execSync({ containerId, cmd, timeout: 0n }, signal)
      .catch((error: unknown) => {
        signal.throwIfAborted();
        if (isAppError(error, "unavailable") && !isDeadline(error)) throw error;
        throw fail(errorChain(error));
      });
    if (answer.exitCode === 0) return;
    const said = text(answer.stdout) + text(answer.stderr);
    const code = answer.exitCode;
    throw fail(`command '${cmd.join(" ")}' exited with ${code}: ${text(answer.stderr)}`, said);
  }

  async #http(
    action: NonNullable<LifecycleHandler["httpGet"]>,
    place: HookPlace,
    signal: AbortSignal,
  ): Promise<void> {
    const what = `HTTP lifecycle hook (${action.path || "/"})`;
    try {
      const target = httpTarget(action, place.container, place.podIp, LIFECYCLE_AGENT);
      const ask = (bound: AbortSignal) => this.#network.http(target, bound);
      let answer = await within(this.#clock, HTTP_MS_MAX, ask, signal);
      if (answer.isPlain) {
        // The peer speaks plain HTTP on what is said to be TLS; kubelet then takes that.
        const plain = httpTarget(
          { ...action, scheme: "HTTP" },
          place.container,
          place.podIp,
          LIFECYCLE_AGENT,
        );
        const again = (bound: AbortSignal) => this.#network.http(plain, bound);
        answer = await within(this.#clock, HTTP_MS_MAX, again, signal);
      }
      // Any answer will do: it was told.
      if (answer.ok || answer.code !== undefined) return;
      throw failed(what, place, `${answer.message}, message: ""`);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HookError) throw error;
      throw failed(what, place, `${errorChain(error)}, message: ""`);
    }
  }
}

function failed(what: string, { container, ref }: HookPlace, why: string): HookError {
  const title = podTitle(ref);
  return new HookError(
    `${what} for Container "${container.name}" in Pod "${title}" failed - error: ${why}`,
  );
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, OUTPUT_BYTES_MAX));
}
