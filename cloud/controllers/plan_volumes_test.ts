import { assertEquals } from "@std/assert";
import { findVolume } from "./match_volume.ts";
import { planVolumes, type StorageStep, type StorageWorld } from "./plan_volumes.ts";
import type { ClaimObject, VolumeObject } from "./storage_types.ts";

function volume(name: string, storage: string, more: VolumeObject["spec"] = {}): VolumeObject {
  return {
    metadata: { name, uid: `uid-${name}` },
    spec: { capacity: { storage }, accessModes: ["ReadWriteOnce"], ...more },
    status: { phase: "Available" },
  };
}

function claim(name: string, storage: string, more: ClaimObject["spec"] = {}): ClaimObject {
  return {
    metadata: { name, namespace: "ns", uid: `uid-${name}` },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, ...more },
    status: { phase: "Pending" },
  };
}

/** Applies every step until nothing is left, as the binder and the API do. */
function settle(claims: ClaimObject[], volumes: VolumeObject[], more: Partial<StorageWorld> = {}) {
  const all: StorageStep[] = [];
  for (let pass = 0; pass < 10; pass++) {
    const steps = planVolumes({
      claims,
      volumes,
      findClass: () => undefined,
      findNode: () => undefined,
      isUsed: () => false,
      ...more,
    });
    if (steps.length === 0) return all;
    all.push(...steps);
    for (const { resource, object } of steps) {
      const list: { metadata: { name?: string } }[] = resource === "claims" ? claims : volumes;
      list[list.findIndex((one) => one.metadata.name === object.metadata.name)] = object;
    }
  }
  throw new Error("the plan does not come to rest");
}

Deno.test("a claim gets the smallest volume that does, in four steps", () => {
  const claims = [claim("data", "1Gi")];
  const volumes = [volume("big", "10Gi"), volume("small", "2Gi"), volume("tiny", "1Mi")];
  const steps = settle(claims, volumes);
  assertEquals(steps.map(({ resource, part }) => `${resource}/${part}`), [
    "volumes/main",
    "claims/main",
    "volumes/status",
    "claims/status",
  ]);
  assertEquals(claims[0]?.spec?.volumeName, "small");
  assertEquals(claims[0]?.status, {
    phase: "Bound",
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "2Gi" },
  });
  assertEquals(volumes.map(({ status }) => status?.phase), ["Available", "Bound", "Available"]);
});

Deno.test("two claims never get one volume; the second waits", () => {
  const claims = [claim("a", "1Gi"), claim("b", "1Gi")];
  const volumes = [volume("only", "1Gi")];
  settle(claims, volumes);
  assertEquals(claims.map(({ status }) => status?.phase), ["Bound", "Pending"]);
});

Deno.test("class, modes, selector and volumeName each decide", () => {
  const mine = volume("mine", "5Gi", { storageClassName: "fast" });
  mine.metadata.labels = { tier: "a" };
  const found = (wanted: ClaimObject) => findVolume(wanted, [mine])?.metadata.name;
  assertEquals(found(claim("c", "1Gi", { storageClassName: "fast" })), "mine");
  assertEquals(found(claim("c", "1Gi")), undefined);
  const modes = { storageClassName: "fast", accessModes: ["ReadWriteMany"] };
  assertEquals(found(claim("c", "1Gi", modes)), undefined);
  const block = { storageClassName: "fast", volumeMode: "Block" };
  assertEquals(found(claim("c", "1Gi", block)), undefined);
  const select = (value: string) => ({
    storageClassName: "fast",
    selector: { matchLabels: { tier: value } },
  });
  assertEquals(found(claim("c", "1Gi", select("a"))), "mine");
  assertEquals(found(claim("c", "1Gi", select("b"))), undefined);

  const claims = [claim("c", "100Gi", { volumeName: "mine", storageClassName: "fast" })];
  settle(claims, [mine]);
  assertEquals(claims[0]?.status?.phase, "Bound");
});

Deno.test("a volume whose claim is gone is Released, given to nobody; a lost one is told", () => {
  const claims = [claim("a", "1Gi")];
  const volumes = [volume("v", "1Gi")];
  settle(claims, volumes);
  const next = [claim("b", "1Gi")];
  settle(next, volumes);
  assertEquals(volumes[0]?.status?.phase, "Released");
  assertEquals(next[0]?.status?.phase, "Pending");
  settle(claims, []);
  assertEquals(claims[0]?.status?.phase, "Lost");
});

Deno.test("a claim under deletion stays while a pod uses it", () => {
  const going = claim("a", "1Gi");
  going.metadata.finalizers = ["kubernetes.io/pvc-protection"];
  going.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  assertEquals(settle([going], [], { isUsed: () => true }), []);
  const claims = [going];
  settle(claims, []);
  assertEquals(claims[0]?.metadata.finalizers, []);
});

Deno.test("a claim that waits for its first pod is bound where that pod goes", () => {
  const onNode = (name: string): VolumeObject["spec"] => ({
    storageClassName: "local",
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{
          matchExpressions: [{ key: "host", operator: "In", values: [name] }],
        }],
      },
    },
  });
  const volumes = [volume("on-a", "1Gi", onNode("a")), volume("on-b", "2Gi", onNode("b"))];
  const claims = [claim("data", "1Gi", { storageClassName: "local" })];
  const world: Partial<StorageWorld> = {
    findClass: () => ({ metadata: {}, volumeBindingMode: "WaitForFirstConsumer" }),
    findNode: (name) => ({ metadata: { name, labels: { host: name } } }),
  };
  assertEquals(settle(claims, volumes, world), []);
  claims[0]!.metadata.annotations = { "volume.kubernetes.io/selected-node": "b" };
  settle(claims, volumes, world);
  assertEquals(claims[0]?.spec?.volumeName, "on-b");
});
