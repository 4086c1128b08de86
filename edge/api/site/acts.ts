/**
 * Acts at the site: restart and removal of pods, recorded before they are answered. `DELETE` of a
 * pod, which is what `kubectl delete pod` sends, is a restart, because the cloud would only bring
 * the pod back; `?mode=remove` asks for the real thing (ADR 0009).
 */
import type { Context, Hono } from "hono";
import { Wakeup } from "../../../shared/async/wakeup.ts";
import { waitAtMost } from "../../../shared/async/wait_at_most.ts";
import type { Clock } from "../../../shared/clock.ts";
import { AppError } from "../../../shared/errors.ts";
import type { Pod, StatusObject } from "../../../shared/k8s/types.ts";
import type { IntentRequest, Intents } from "../../intents/port.ts";
import type { LocalPods } from "../port.ts";

export interface ActSources {
  pods: LocalPods;
  intents: Intents;
  clock: Clock;
}

/** On top of the pod's grace, for the runtime to do its part, before an act is answered anyway. */
const WAIT_MARGIN_MS = 15_000;
const GRACE_SECONDS_DEFAULT = 30;
/** Kubernetes' delete options are a few fields. */
const BODY_BYTES_MAX = 64 * 1024;
const BY_CHARS_MAX = 64;

export function addActs(app: Hono, sources: ActSources): void {
  const target = (c: Context) => ({
    namespace: c.req.param("namespace") ?? "",
    name: c.req.param("name") ?? "",
    by: askedBy(c),
  });
  app.get("/v1/intents", (c) => c.json({ items: sources.intents.list() }));
  app.get("/v1/intents/:id", (c) => {
    const id = c.req.param("id");
    const intent = sources.intents.get(id);
    if (!intent) throw new AppError("not_found", `intents "${id}" not found`);
    return c.json(intent);
  });
  app.post("/v1/pods/:namespace/:name/restart", async (c) => {
    const container = c.req.query("container");
    const request: IntentRequest = {
      ...target(c),
      verb: "restart",
      ...(container === undefined ? {} : { container }),
    };
    return c.json(await record(request, sources), 202);
  });
  app.delete("/v1/pods/:namespace/:name", async (c) => {
    return c.json(await record({ ...target(c), verb: "remove" }, sources), 202);
  });
  app.delete("/api/v1/namespaces/:namespace/pods/:name", async (c) => {
    const options = await readDeleteOptions(c);
    const { graceSeconds, uid, dryRun } = options;
    const verb = deleteVerb(c.req.query("mode"));
    const request: IntentRequest = {
      ...target(c),
      verb,
      ...(graceSeconds === undefined ? {} : { graceSeconds }),
      ...(uid === undefined ? {} : { uid }),
    };
    if (dryRun) {
      return c.json(deleted(request.name, find(request, sources.pods).metadata.uid ?? ""));
    }
    const intent = await record(request, sources);
    const pod = sources.pods.list().find((p) => p.metadata.uid === intent.pod.uid);
    const grace = graceSeconds ?? pod?.spec.terminationGracePeriodSeconds ?? GRACE_SECONDS_DEFAULT;
    await untilCarriedOut(intent.id, grace * 1_000 + WAIT_MARGIN_MS, sources);
    return c.json(deleted(request.name, intent.id));
  });
}

/** Who asked, as they say: everybody holds the same token. */
export function askedBy(c: Context): string {
  const said = c.req.query("by") ?? c.req.header("user-agent")?.split(/[\s(]/)[0] ?? "";
  // deno-lint-ignore no-control-regex
  return said.replace(/[\x00-\x1f\x7f]/g, "").slice(0, BY_CHARS_MAX) || "unknown";
}

async function record(
  request: IntentRequest,
  sources: ActSources,
): ReturnType<Intents["record"]> {
  const phase = find(request, sources.pods).status?.phase;
  if (request.verb === "restart" && (phase === "Succeeded" || phase === "Failed")) {
    throw new AppError(
      "conflict",
      `Cannot restart pod ${request.name}: it has ended (${phase}) and is not run again`,
    );
  }
  return await sources.intents.record(request);
}

function find({ namespace, name }: IntentRequest, pods: LocalPods): Pod {
  const pod = pods.list().find((p) =>
    p.metadata.namespace === namespace && p.metadata.name === name
  );
  if (!pod) throw new AppError("not_found", `pods "${name}" not found`);
  return pod;
}

function deleteVerb(mode: string | undefined): IntentRequest["verb"] {
  if (mode === undefined || mode === "restart") return "restart";
  if (mode === "remove") return "remove";
  throw new AppError("invalid", `Cannot delete pod: mode must be restart or remove, got ${mode}`);
}

async function readDeleteOptions(
  c: Context,
): Promise<{ graceSeconds?: number; uid?: string; dryRun: boolean }> {
  const text = await c.req.text();
  if (text.length > BODY_BYTES_MAX) {
    throw new AppError("invalid", `Cannot read delete options: longer than ${BODY_BYTES_MAX}`);
  }
  let body: Record<string, unknown> = {};
  try {
    if (text.trim() !== "") body = Object(JSON.parse(text));
  } catch (cause) {
    throw new AppError("invalid", "Cannot read delete options: not JSON", {}, { cause });
  }
  const grace = body.gracePeriodSeconds ?? c.req.query("gracePeriodSeconds");
  const graceSeconds = grace === undefined || grace === null ? undefined : Number(grace);
  if (graceSeconds !== undefined && !(Number.isInteger(graceSeconds) && graceSeconds >= 0)) {
    throw new AppError("invalid", `Cannot read delete options: gracePeriodSeconds is ${grace}`);
  }
  const uid = Object(body.preconditions).uid;
  return {
    ...(graceSeconds === undefined ? {} : { graceSeconds }),
    ...(typeof uid === "string" && uid !== "" ? { uid } : {}),
    dryRun: body.dryRun !== undefined || c.req.query("dryRun") !== undefined,
  };
}

/** The intent is on disk: how long its carrying out takes changes nothing but the answer's time. */
async function untilCarriedOut(id: string, withinMs: number, sources: ActSources): Promise<void> {
  const { intents, clock } = sources;
  const wakeup = new Wakeup();
  const unsubscribe = intents.changes.subscribe(() => wakeup.wake());
  const endMs = clock.monotonicMs() + withinMs;
  const never = new AbortController().signal;
  try {
    for (;;) {
      const leftMs = endMs - clock.monotonicMs();
      if (intents.get(id)?.state !== "pending" || leftMs <= 0) return;
      await waitAtMost(wakeup, clock, leftMs, never);
    }
  } finally {
    unsubscribe();
  }
}

/** What kubectl waits for to be gone is `details.uid`: the run that ended, not the pod. */
function deleted(name: string, uid: string): StatusObject {
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: { name, kind: "pods", uid },
  };
}
