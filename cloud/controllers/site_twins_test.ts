import { assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import type { Device } from "../../shared/k8s/devices.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Event } from "../../shared/k8s/types.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import type { TwinIntent } from "../../shared/wire/site_intent.ts";
import { decisionOnTwin } from "../../shared/wire/twin_edits.ts";
import { SiteIntents } from "./site_intents.ts";
import { MemoryKube } from "./testing/memory_kube.ts";

const SIGNAL = new AbortController().signal;

function device(desired: Record<string, string>, uid = "u1"): Device {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { namespace: "default", name: "pump", uid },
    spec: {
      nodeName: "n1",
      deviceModelRef: { name: "m" },
      properties: Object.entries(desired).map(([name, value]) => ({
        name,
        collectCycle: 5,
        desired: { value },
      })),
    },
  };
}

function edit(value: string, base: string | null, more: Partial<TwinIntent> = {}): TwinIntent {
  return {
    id: `0c3f6f0e-9b0b-4e6c-${value}`,
    verb: "set_twin",
    device: { namespace: "default", name: "pump", uid: "u1" },
    property: "speed",
    value,
    base,
    at: "2026-01-01T00:00:00Z",
    by: "ada",
    ...more,
  };
}

function world(held?: Device) {
  const kube = new MemoryKube();
  if (held) kube.put(GVR.devices, held);
  const intents = new SiteIntents({ kube, clock: new SimClock() });
  const now = () => kube.peek<Device>(GVR.devices, "default", "pump");
  return {
    kube,
    now,
    apply: (intent: TwinIntent, node = "n1") => intents.apply(node, intent, SIGNAL),
    desired: (name = "speed") =>
      now()?.spec.properties?.find((property) => property.name === name)?.desired?.value,
    decision: ({ id, property }: TwinIntent) => decisionOnTwin(now()!, property, id),
    events: () =>
      kube.all<Event>(GVR.events).map((e) => `${e.involvedObject.kind} ${e.reason}`).sort(),
  };
}

Deno.test("an edit of what the site saw is followed once, and marked with it", async () => {
  const w = world(device({ speed: "1", other: "x" }));
  const asked = edit("5", "1");
  assertEquals(await w.apply(asked), { kind: "applied" });
  const version = w.now()?.metadata.resourceVersion;
  assertEquals(await w.apply(asked), { kind: "applied" });
  assertEquals([w.desired(), w.desired("other")], ["5", "x"]);
  assertEquals(w.now()?.spec.properties?.[0]?.collectCycle, 5);
  assertEquals(w.decision(asked), { intent: asked.id });
  assertEquals(w.now()?.metadata.resourceVersion, version);
  assertEquals(w.events(), ["Device SiteTwinSet"]);
});

Deno.test("a property that desired nothing gets its place on the Device", async () => {
  const w = world(device({ other: "x" }));
  await w.apply(edit("5", null));
  assertEquals([w.desired(), w.desired("other")], ["5", "x"]);
});

Deno.test("what the cloud desires since holds, and both sides are told", async () => {
  const w = world(device({ speed: "3" }));
  const asked = edit("5", "1");
  await w.apply(asked);
  assertEquals(w.desired(), "3");
  assertEquals(w.decision(asked)?.conflict, 'the cloud desires "3" since');
  assertEquals(w.events(), ["Device SiteEditConflict", "Node SiteEditConflict"]);
});

Deno.test("a later edit goes over an earlier one of the site, followed or not", async () => {
  for (const held of ["1", "5"]) {
    const w = world(device({ speed: held }));
    await w.apply(edit("7", "1", { earlier: ["5"] }));
    assertEquals(w.desired(), "7");
  }
});

Deno.test("edits of different properties are marked beside one another", async () => {
  const w = world(device({ speed: "1", level: "1" }));
  const [one, two] = [edit("5", "1"), edit("6", "9", { property: "level" })];
  await w.apply(one);
  await w.apply(two);
  assertEquals([w.decision(one)?.conflict, w.decision(two)?.conflict === undefined], [
    undefined,
    false,
  ]);
});

Deno.test("what the API refuses is a conflict with its reason", async () => {
  const w = world(device({ speed: "1" }));
  const update = w.kube.update.bind(w.kube);
  w.kube.update = (gvr, object, signal, options) =>
    (object as unknown as Device).spec.properties?.[0]?.desired?.value === "5" // a Device
      ? Promise.reject(new AppError("invalid", "speed must be <= 4"))
      : update(gvr, object, signal, options);
  const asked = edit("5", "1");
  await w.apply(asked);
  assertEquals(w.decision(asked)?.conflict, "the API refused it: speed must be <= 4");
  assertEquals(w.desired(), "1");
});

Deno.test("another node's device, one that is gone, or made anew: dropped by name", async () => {
  const w = world(device({ speed: "1" }, "u2"));
  assertEquals((await w.apply(edit("5", "1"))).kind, "dropped");
  const other = world(device({ speed: "1" }));
  assertEquals((await other.apply(edit("5", "1"), "n2")).kind, "dropped");
  assertEquals((await world().apply(edit("5", "1"))).kind, "dropped");
});
