import { assertEquals, assertStringIncludes } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import { buildImage } from "../support/images.ts";
import { Registry } from "../support/registry.ts";
import { identityOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

function waitingFor(pod: Pod): { reason?: string; message?: string } {
  return pod.status?.containerStatuses?.[0]?.state?.waiting ?? {};
}

siteTest("images are pulled, and their absence is one pod's trouble", async ({ site, t }) => {
  await using registry = new Registry();
  const image = await buildImage({
    name: "skerry.local/greeter:1",
    entrypoint: ["/bin/greet"],
    files: { "bin/greet": "#!/bin/sh\necho hello from the image; exec sleep 600\n" },
  });
  await site.kubectl.apply(podManifest("bystander"));
  const bystander = identityOf(await site.podRuns("bystander"));

  await t.step("from a registry, by the image's own entrypoint", async () => {
    const reference = await registry.add(image, "greeter", "1");
    const { kubectl } = site;
    const manifest = podManifest("greets", { spec: { terminationGracePeriodSeconds: 0 } });
    const { command: _, ...main } = manifest.spec.containers[0] ?? { command: [] };
    const containers = [{ ...main, image: reference, imagePullPolicy: "Always" }];
    await kubectl.apply({ ...manifest, spec: { ...manifest.spec, containers } });
    const pod = await site.podRuns("greets");
    assertEquals(pod.status?.containerStatuses?.[0]?.image, reference);
    await until(async () => await kubectl.must(["logs", "greets"]) === "hello from the image\n", {
      what: "the image's own words",
    });
    assertEquals(registry.served.blobs, 2);
  });

  await t.step(
    "a missing image: ErrImagePull, ImagePullBackOff, events; others go on",
    async () => {
      const missing = `${registry.host}/missing:1`;
      await site.kubectl.apply(podManifest("lacks", { container: { image: missing } }));
      const failed = await site.podIs(
        "lacks",
        "failing to pull",
        (pod) => /ErrImagePull|ImagePullBackOff/.test(waitingFor(pod).reason ?? ""),
      );
      assertStringIncludes(waitingFor(failed).message ?? "", missing);
      const backed = await site.podIs(
        "lacks",
        "in ImagePullBackOff",
        (pod) => waitingFor(pod).reason === "ImagePullBackOff",
      );
      assertEquals(
        waitingFor(backed).message?.startsWith(`Back-off pulling image "${missing}"`),
        true,
      );
      assertEquals(backed.status?.phase, "Pending");
      const described = await site.kubectl.must(["describe", "pod", "lacks"]);
      assertStringIncludes(described, `Failed to pull image "${missing}"`);
      assertEquals(identityOf(await site.cloud.pod("bystander")), bystander);
    },
  );

  await t.step("once the image is there the pod runs", async () => {
    await registry.add(image, "missing", "1");
    await site.podRuns("lacks", 60_000);
  });

  await t.step("a policy that forbids pulling says so", async () => {
    await site.kubectl.apply(podManifest("never", {
      container: { image: `${registry.host}/other:1`, imagePullPolicy: "Never" },
    }));
    const pod = await site.podIs(
      "never",
      "refused",
      (pod) => waitingFor(pod).reason === "ErrImageNeverPull",
    );
    assertStringIncludes(waitingFor(pod).message ?? "", "other:1");
  });
});
