/** Images before pods: an ImagePrePullJob with a registry that wants to know who asks. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ImagePrePullJob } from "../../shared/k8s/prepull.ts";
import { buildImage } from "../support/images.ts";
import { Registry } from "../support/registry.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const ACCOUNT = "puller:s3cret";

function jobManifest(name: string, template: object) {
  return {
    apiVersion: "operations.kubeedge.io/v1alpha2",
    kind: "ImagePrePullJob",
    metadata: { name },
    spec: { imagePrePullTemplate: template },
  };
}

async function jobIs(site: Site, name: string, phase: string): Promise<ImagePrePullJob> {
  const path = `/apis/operations.kubeedge.io/v1alpha2/imageprepulljobs/${name}`;
  return await until(async () => {
    const job = await site.cloud.get<ImagePrePullJob>(path);
    return job.status?.phase === phase && job;
  }, { what: `job ${name} ${phase}`, timeoutMs: 60_000 });
}

siteTest("images are on the node before any pod asks for them", async ({ site, t }) => {
  const { kubectl } = site;
  await using registry = new Registry();
  registry.account = ACCOUNT;
  const references: string[] = [];
  for (let i = 0; i < 4; i++) {
    const image = await buildImage({
      name: `skerry.local/early:${i}`,
      entrypoint: ["/bin/stay"],
      files: { "bin/stay": `#!/bin/sh\n# early ${i}\nexec sleep 600\n` },
    });
    references.push(await registry.add(image, `team/early${i}`, "1"));
  }
  await kubectl.must(["create", "namespace", "keys"]);
  await kubectl.must([
    ...["-n", "keys", "create", "secret", "docker-registry", "reg"],
    ...[`--docker-server=${registry.host}`, "--docker-username=puller"],
    "--docker-password=s3cret",
  ]);
  const secret = { imageSecrets: "keys/reg" };

  await t.step("a bad job is refused by field", async () => {
    const bad = { images: ["a b"], nodeNames: [], imageSecrets: "reg", failureTolerate: "2" };
    const manifest = JSON.stringify(jobManifest("bad", bad));
    const { code, stderr } = await kubectl.run(["apply", "-f", "-"], { stdin: manifest });
    assertEquals(code, 1);
    for (const field of ["images[0]", "nodeNames", "imageSecrets", "failureTolerate"]) {
      assertStringIncludes(stderr, `spec.imagePrePullTemplate.${field}`);
    }
  });

  await t.step("by name of the node, with a secret: two images", async () => {
    const images = references.slice(0, 2);
    await kubectl.apply(jobManifest("early", { images, nodeNames: [site.nodeName], ...secret }));
    const { status } = await jobIs(site, "early", "Completed");
    const [node] = status?.nodeStatus ?? [];
    assertEquals([node?.nodeName, node?.phase], [site.nodeName, "Successful"]);
    assertEquals(node?.imageStatus, images.map((image) => ({ image, status: "True" as const })));
    assertEquals(node?.actionFlow?.map(({ action }) => action), ["Init", "Check", "Pull"]);
    assertMatch(await kubectl.must(["get", "imageprepulljobs"]), /early\s+Completed\s+1\/1\s+\d+s/);
  });

  await t.step("a pod of such an image starts without the registry", async () => {
    registry.failWith = 500;
    const containers = [{ name: "main", image: references[0]! }];
    await kubectl.apply(podManifest("early", { spec: { containers } }));
    await site.podRuns("early");
    registry.failWith = undefined;
  });

  await t.step("what cannot be pulled is told image by image, after its retries", async () => {
    const images = [references[2]!, `${registry.host}/team/absent:1`];
    const template = { images, nodeNames: [site.nodeName, "nobody"], retryTimes: 1, ...secret };
    await kubectl.apply(jobManifest("part", { ...template, failureTolerate: "0.9" }));
    const { status } = await jobIs(site, "part", "Failure");
    const [here, nobody] = status?.nodeStatus ?? [];
    assertEquals(here?.imageStatus?.map((image) => image.status), ["True", "False"]);
    assertStringIncludes(here?.imageStatus?.[1]?.reason ?? "", "absent");
    assertEquals([nobody?.phase, nobody?.reason], ["Failure", "node not found"]);
    assertEquals(status?.reason, "2 of 2 nodes failed");
  });

  await t.step("a node that is away pulls when it is back, by labels", async () => {
    await site.relay.cut();
    await site.nodeIs("Unknown");
    const labelSelector = { matchLabels: { "kubernetes.io/hostname": site.nodeName } };
    const images = [references[3]!];
    await kubectl.apply(jobManifest("late", { images, labelSelector, ...secret }));
    const { status } = await jobIs(site, "late", "InProgress");
    assertEquals(status?.nodeStatus?.[0]?.phase, "InProgress");
    site.relay.heal();
    await jobIs(site, "late", "Completed");
  });

  await t.step("a node that does not come in time has failed", async () => {
    await site.relay.cut();
    const template = { images: [references[3]!], nodeNames: [site.nodeName], timeoutSeconds: 2 };
    await kubectl.apply(jobManifest("missed", template));
    const { status } = await jobIs(site, "missed", "Failure");
    assertMatch(status?.nodeStatus?.[0]?.reason ?? "", /timed out/);
    site.relay.heal();
    await site.nodeIs("True");
  });

  await t.step("a job cannot be changed; deleted, it leaves the images", async () => {
    const patch = JSON.stringify({ spec: { imagePrePullTemplate: { retryTimes: 3 } } });
    const words = ["patch", "imageprepulljob", "late", "--type=merge", "-p", patch];
    const changed = await kubectl.run(words);
    assert(changed.code !== 0 && changed.stderr.includes("cannot be changed"));
    await kubectl.must(["delete", "imageprepulljob", "--all"]);
  });
});
