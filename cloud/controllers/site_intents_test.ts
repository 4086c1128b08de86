import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event, Pod } from "../../shared/k8s/types.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import {
  conflictOf,
  type PodIntent,
  type PodVerb,
  type SiteIntent,
  specDigest,
} from "../../shared/wire/site_intent.ts";
import { SiteIntents } from "./site_intents.ts";
import { MemoryKube } from "./testing/memory_kube.ts";
import { samplePod } from "./testing/samples.ts";

const SIGNAL = new AbortController().signal;

function pod(more: Partial<Pod["metadata"]> = {}, image = "i"): Pod {
  const made = samplePod("web", { nodeName: "n1" }, { metadata: { uid: "u1", ...more } });
  made.spec.containers = [{ name: "main", image }];
  return made;
}

function intent(verb: PodVerb, seen: Pod = pod()): PodIntent {
  return {
    id: "0c3f6f0e-9b0b-4e6c-8a52-000000000001",
    verb,
    pod: { namespace: "default", name: "web", uid: "u1" },
    specDigest: specDigest(seen),
    at: "2026-01-01T00:00:00Z",
    by: "ada",
  };
}

function world() {
  const kube = new MemoryKube();
  const intents = new SiteIntents({ kube, clock: new SimClock() });
  return {
    kube,
    apply: (asked: SiteIntent, node = "n1") => intents.apply(node, asked, SIGNAL),
    pod: () => kube.peek<Pod>(GVR.pods, "default", "web"),
    events: () =>
      kube.all<Event>(GVR.events).map((e) => `${e.involvedObject.kind} ${e.reason}`).sort(),
    calls: (verb: string) => kube.calls.filter((call) => call.verb === verb).length,
  };
}

Deno.test("a removal of what the site saw deletes the pod, once", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod());
  assertEquals(await w.apply(intent("remove")), { kind: "applied" });
  assertEquals(w.pod()?.metadata.deletionTimestamp === undefined, false);
  assertEquals(await w.apply(intent("remove")), { kind: "applied" });
  assertEquals(w.calls("delete"), 1);
  assertEquals(w.events(), ["Pod SiteRemove"]);
});

Deno.test("a removal of what was changed meanwhile is a conflict, told on both", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod({}, "other"));
  const asked = intent("remove");
  await w.apply(asked);
  assertEquals(w.calls("delete"), 0);
  assertEquals(conflictOf(w.pod()!)?.intent, asked.id);
  assertEquals(w.events(), ["Node SiteEditConflict", "Pod SiteEditConflict"]);
  // it comes again, and somebody has changed the pod back: the decision stands
  w.kube.put(GVR.pods, { ...pod(), metadata: w.pod()!.metadata });
  await w.apply(asked);
  assertEquals(w.calls("delete"), 0);
});

Deno.test("a label is not what the pod shall be: the removal is followed", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod({ labels: { added: "meanwhile" } }));
  await w.apply(intent("remove"));
  assertEquals(w.calls("delete"), 1);
});

Deno.test("a pod recreated under the name is left alone and told about", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod({ uid: "u2" }));
  await w.apply(intent("remove"));
  assertEquals(w.calls("delete"), 0);
  assertEquals(conflictOf(w.pod()!), undefined);
  assertEquals(w.events(), ["Node SiteEditConflict", "Pod SiteEditConflict"]);
});

Deno.test("a node removes only its own pods; what is gone is gone", async () => {
  const w = world();
  assertEquals(await w.apply(intent("remove")), { kind: "applied" });
  w.kube.put(GVR.pods, pod());
  assertEquals(await w.apply(intent("remove"), "n2"), {
    kind: "dropped",
    reason: "pod is not bound to this node",
  });
  assertEquals(w.calls("delete"), 0);
});

Deno.test("a deletion the API forbids is a conflict; an API away is tried again", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod());
  w.kube.onWrite = (call) => {
    if (call.verb === "delete") throw new AppError("unavailable", "cut off");
  };
  await assertRejects(() => w.apply(intent("remove")), AppError, "cut off");
  w.kube.onWrite = (call) => {
    if (call.verb === "delete") throw new AppError("forbidden", "a policy holds it");
  };
  assertEquals(await w.apply(intent("remove")), { kind: "applied" });
  assertEquals(conflictOf(w.pod()!)?.reason, "a policy holds it");
});

Deno.test("a status written in between is no conflict of the removal", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod());
  let isFirst = true;
  w.kube.onWrite = (call) => {
    if (call.verb !== "delete" || !isFirst) return;
    isFirst = false;
    w.kube.put(GVR.pods, { ...pod(), status: { phase: "Running" } });
  };
  await w.apply(intent("remove"));
  assertEquals(w.pod()?.metadata.deletionTimestamp === undefined, false);
});

Deno.test("a restart leaves the pod alone and is kept among the node's events", async () => {
  const w = world();
  w.kube.put(GVR.pods, pod());
  const before = w.pod();
  await w.apply(intent("restart"));
  await w.apply(intent("restart"));
  assertEquals(w.pod(), before);
  assertEquals(w.events(), ["Node SiteRestart"]);
});
