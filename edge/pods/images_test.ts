import { assertEquals, assertMatch } from "@std/assert";
import { pullFailure } from "./images.ts";
import { TestNode, testPod } from "./testing.ts";

const FOREVER = "trap 'exit 0' TERM; while true; do sleep 1; done";

Deno.test("a pull that takes long says so, ever less often, and only while it lasts", async () => {
  await using node = await TestNode.start();
  const image = "registry.test/large:1";
  node.world.images.setPull(image, { kind: "ok", afterMs: 100_000, image: {} });
  node.apply(testPod("slow", FOREVER, (pod) => pod.spec.containers[0]!.image = image));
  await node.phase("uid-slow", "Running", 200_000);
  assertEquals(node.events.messages("Pulling"), [
    `Pulling image "${image}"`,
    `Still pulling image "${image}" after 30s`,
    `Still pulling image "${image}" after 90s`,
  ]);
  await node.clock.advance(200_000);
  assertEquals(node.events.messages("Pulling").length, 3);
});

Deno.test("pull secrets that are not there are named before the pull", async () => {
  await using node = await TestNode.start();
  const image = "registry.test/private:1";
  node.world.images.setPull(image, { kind: "ok", image: {} });
  node.apply(testPod("web", FOREVER, (pod) => {
    pod.spec.containers[0]!.image = image;
    pod.spec.imagePullSecrets = [{ name: "here" }, { name: "gone" }];
  }));
  node.ledger.put("secrets", { metadata: { name: "here", namespace: "default" }, data: {} });
  await node.phase("uid-web", "Running");
  const [message = ""] = node.events.messages("FailedToRetrieveImagePullSecret");
  assertMatch(message, /^Unable to retrieve some image pull secrets \((here, )?gone\);/);
});

Deno.test("no more pulls at once than the node allows", async () => {
  await using node = await TestNode.start();
  let most = 0;
  const names = Array.from({ length: 8 }, (_, i) => `p${i}`);
  for (const name of names) {
    const image = `registry.test/${name}:1`;
    node.world.images.setPull(image, { kind: "ok", afterMs: 5_000, image: {} });
    node.apply(testPod(name, FOREVER, (pod) => pod.spec.containers[0]!.image = image));
  }
  await node.clock.until(() => {
    const begun = node.events.messages("Pulling").length;
    const ended = node.events.messages("Pulled").length;
    most = Math.max(most, begun - ended);
    return ended === names.length;
  }, { withinMs: 120_000 });
  assertEquals(most, 3);
});

Deno.test("pullFailure() takes the reason off the runtime's words, and says it as kubelet", () => {
  assertEquals(pullFailure("a/b:1", "RegistryUnavailable: connection refused"), {
    reason: "RegistryUnavailable",
    message: "image pull failed for a/b:1 because the registry is unavailable: connection refused",
  });
  assertEquals(pullFailure("a/b:1", "SignatureValidationFailed: no key"), {
    reason: "SignatureValidationFailed",
    message: "image pull failed for a/b:1 because the signature validation failed: no key",
  });
  const message = "no such image";
  assertEquals(pullFailure("a/b:1", message), { reason: "ErrImagePull", message });
});
