/** `restart pod`, `delete pod`: acts at the site, link or no link. */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { Intent } from "../intents/port.ts";
import { findPod, NAMESPACE_FLAG, podPath } from "./find_pod.ts";
import { LocalApiClient, SERVER_FLAGS } from "./local_api.ts";

const LOOK_MS = 200;
/** As kubectl's longest grace people use, and some. */
const WAIT_MS_MAX = 300_000;
const NO_WAIT = { name: "no-wait", help: "Do not wait until it is carried out" };

export const ACT_COMMANDS: CommandSpec[] = [
  {
    name: "restart pod",
    summary: "Stop a pod's containers with their grace and make them again",
    operands: "NAME",
    operandsMin: 1,
    operandsMax: 1,
    flags: [
      NAMESPACE_FLAG,
      { name: "container", short: "c", value: "NAME", help: "Only this container" },
      NO_WAIT,
      ...SERVER_FLAGS,
    ],
    run: restart,
  },
  {
    name: "delete pod",
    summary:
      "Stop a pod and ask the cloud to delete it; until it has decided the pod stays stopped",
    operands: "NAME",
    operandsMin: 1,
    operandsMax: 1,
    flags: [NAMESPACE_FLAG, NO_WAIT, ...SERVER_FLAGS],
    run: remove,
  },
];

async function restart(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const container = invocation.flag("container");
  const query = new URLSearchParams(container === undefined ? {} : { container });
  await act(invocation, { method: "POST", suffix: "/restart", query, done: "restarted" }, signal);
  return 0;
}

async function remove(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const query = new URLSearchParams();
  const done = "stopped; the cloud is asked to delete it";
  await act(invocation, { method: "DELETE", suffix: "", query, done }, signal);
  return 0;
}

interface Act {
  method: "POST" | "DELETE";
  suffix: string;
  query: URLSearchParams;
  done: string;
}

async function act(
  invocation: Invocation,
  { method, suffix, query, done }: Act,
  signal: AbortSignal,
): Promise<void> {
  const [name = ""] = invocation.operands;
  const client = await LocalApiClient.find(invocation);
  const pod = await findPod(client, name, invocation, signal);
  query.set("by", Deno.env.get("SUDO_USER") ?? Deno.env.get("USER") ?? `uid ${Deno.uid()}`);
  const answer = await client.act(method, `${podPath(pod)}${suffix}?${query}`, signal);
  const intent: Intent = await answer.json();
  if (invocation.isSet("no-wait")) {
    writeOut(`pod/${name}: recorded as ${intent.id}\n`);
    return;
  }
  const state = await carriedOut(client, intent, signal);
  writeOut(
    state === "pending"
      ? `pod/${name}: recorded as ${intent.id}; not carried out yet\n`
      : `pod/${name} ${done}\n`,
  );
}

async function carriedOut(
  client: LocalApiClient,
  { id }: Intent,
  signal: AbortSignal,
): Promise<Intent["state"]> {
  const clock = new SystemClock();
  const endMs = clock.monotonicMs() + WAIT_MS_MAX;
  for (;;) {
    const intent: Intent = await (await client.get(`/v1/intents/${id}`, signal)).json();
    if (intent.state === "conflict") {
      throw new AppError("conflict", `The cloud decided otherwise: ${intent.reason ?? ""}`);
    }
    if (intent.state !== "pending" || clock.monotonicMs() >= endMs) return intent.state;
    await clock.sleep(LOOK_MS, signal);
  }
}
