import { assertEquals, assertStringIncludes } from "@std/assert";
import type { ContainerState, Pod } from "../../../shared/k8s/types.ts";
import type { EdgeStatus } from "../port.ts";
import { explainPod, type WhySources } from "./why.ts";

const STATUS: Pick<EdgeStatus, "link" | "runtime"> = {
  link: { state: "backoff", since: "2026-01-01T00:00:00Z" },
  runtime: { endpoint: "unix:///x.sock", ready: true },
};

function pod(state: ContainerState, more: Partial<Pod["status"]> = {}): Pod {
  const ready = state.running !== undefined;
  const status = { name: "main", ready, restartCount: 3, image: "reg/app:1", imageID: "", state };
  return {
    metadata: { name: "web", namespace: "default", uid: "u" },
    spec: {
      containers: [{
        name: "main",
        image: "reg/app:1",
        envFrom: [{ configMapRef: { name: "settings" } }, {
          secretRef: { name: "maybe", optional: true },
        }],
      }],
    },
    status: { phase: "Running", containerStatuses: [status], ...more },
  };
}

function explain(about: Pod, more: Partial<WhySources> = {}) {
  return explainPod({
    pod: about,
    status: STATUS as EdgeStatus, // the parts it looks at
    node: { metadata: { name: "n1" } },
    intents: [],
    events: [],
    holds: () => true,
    retryAt: undefined,
    ...more,
  });
}

const RUNNING = pod({ running: { startedAt: "2026-01-01T00:00:00Z" } });
const WAITING = (reason: string, message = "") => pod({ waiting: { reason, message } });

Deno.test("a pod that runs has no reasons", () => {
  const why = explain(RUNNING);
  assertEquals(why.reasons, []);
  assertEquals(why.summary, "Pod default/web is Running; 1 of 1 containers are ready.");
});

Deno.test("a container in back-off is told with its end and the next try", () => {
  const crashed = WAITING("CrashLoopBackOff");
  const terminated = { exitCode: 3, reason: "Error", finishedAt: "2026-01-01T00:00:00Z" };
  crashed.status!.containerStatuses![0]!.lastState = { terminated };
  const [reason] = explain(crashed, { retryAt: "2026-01-01T00:00:40Z" }).reasons;
  assertEquals(
    reason?.message,
    "Container main ended with exit code 3 (Error) at 2026-01-01T00:00:00Z again and again; " +
      "it is tried again at 2026-01-01T00:00:40Z.",
  );
});

Deno.test("a missing config map, a lost runtime and an image come by name", () => {
  const codes = (why: { reasons: { code: string }[] }) => why.reasons.map((r) => r.code);
  const missing = explain(WAITING("CreateContainerConfigError"), { holds: () => false });
  assertEquals(codes(missing), ["ConfigMapMissing", "CreateContainerConfigError"]);
  assertStringIncludes(missing.reasons[0]!.message, "ConfigMap settings");
  assertStringIncludes(missing.reasons[0]!.message, "backoff");
  const status = { ...STATUS, runtime: { endpoint: "unix:///x.sock", ready: false } };
  const lost = explain(WAITING("ContainerCreating"), { status: status as EdgeStatus });
  assertEquals(codes(lost), ["RuntimeNotReady", "ContainerCreating"]);
  const image = explain(WAITING("ImagePullBackOff", "no route"));
  assertStringIncludes(image.reasons[0]!.message, "Image reg/app:1 of container main");
});

Deno.test("what was asked at the site, deletions, ends and node conditions are told", () => {
  const intent = {
    id: "i",
    verb: "remove" as const,
    pod: { namespace: "default", name: "web", uid: "u" },
    specDigest: "",
    at: "T",
    by: "ada",
    state: "applied" as const,
  };
  const removed = explain(WAITING("RemovedAtSite"), { intents: [intent] });
  assertStringIncludes(removed.summary, "removed at the site by ada at T");
  const deleting = WAITING("x");
  deleting.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  assertEquals(explain(deleting).reasons[0]?.code, "Deleting");
  const failed = pod({}, { phase: "Failed", reason: "OutOfcpu", message: "no room" });
  assertStringIncludes(explain(failed).summary, "OutOfcpu: no room");
  const conditions = [{ type: "DiskPressure", status: "True" as const, message: "disk is full" }];
  const node = { metadata: { name: "n1" }, status: { conditions } };
  assertEquals(explain(WAITING("ContainerCreating"), { node }).reasons[0]?.code, "DiskPressure");
});

Deno.test("the last warnings about this very pod are added", () => {
  const event = (uid: string, message: string) => ({
    metadata: { name: message },
    involvedObject: { uid },
    type: "Warning" as const,
    reason: "Failed",
    message,
    lastTimestamp: "T",
  });
  const events = [event("u", "one"), event("other", "not mine"), event("u", "two")];
  const { reasons } = explain(WAITING("ContainerCreating"), { events });
  assertEquals(reasons.slice(1).map((r) => r.message), ["Warning T: two", "Warning T: one"]);
});
