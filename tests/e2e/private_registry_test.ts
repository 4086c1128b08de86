/** Images from a registry that wants to know who asks: every form of pull secret, and none. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Pod } from "../../shared/k8s/types.ts";
import { buildImage } from "../support/images.ts";
import { Registry } from "../support/registry.ts";
import { podManifest } from "./manifests.ts";
import { siteTest } from "./site_test_case.ts";

const ACCOUNT = "puller:s3:cret";

function waiting(pod: Pod): { reason?: string; message?: string } {
  return pod.status?.containerStatuses?.[0]?.state?.waiting ?? {};
}

siteTest(
  "private images are pulled with the secrets a pod or its account names",
  async (context) => {
    const { site: { kubectl }, site, t } = context;
    await using registry = new Registry();
    registry.account = ACCOUNT;
    const references: string[] = [];
    for (let i = 0; i < 6; i++) {
      const image = await buildImage({
        name: `skerry.local/private:${i}`,
        entrypoint: ["/bin/stay"],
        files: { "bin/stay": `#!/bin/sh\n# ${i}\nexec sleep 600\n` },
      });
      references.push(await registry.add(image, `team/private${i}`, "1"));
    }
    const pod = (name: string, image: string, spec: object) => {
      const containers = [{ name: "main", image }];
      return podManifest(name, { spec: { terminationGracePeriodSeconds: 0, ...spec, containers } });
    };
    const [user = "", ...rest] = ACCOUNT.split(":");
    const auth = btoa(ACCOUNT);
    const secret = (name: string, key: string, value: object) =>
      kubectl.apply({
        apiVersion: "v1",
        kind: "Secret",
        type: `kubernetes.io/${key.slice(1)}`,
        metadata: { name },
        data: { [key]: btoa(JSON.stringify(value)) },
      });

    await t.step("without one: refused, and the pod says by whom", async () => {
      await kubectl.apply(pod("refused", references[0]!, {}));
      const failed = await site.podIs(
        "refused",
        "refused",
        (one) => /ErrImagePull|ImagePullBackOff/.test(waiting(one).reason ?? ""),
      );
      assertStringIncludes(waiting(failed).message ?? "", registry.host);
    });

    await t.step("kubectl's own secret, which is read again when it comes late", async () => {
      await kubectl.apply(pod("late", references[1]!, { imagePullSecrets: [{ name: "made" }] }));
      await site.podIs("late", "waiting", (one) => waiting(one).reason === "ImagePullBackOff");
      const events = await site.cloud.events("late");
      assert(events.some(({ reason }) => reason === "FailedToRetrieveImagePullSecret"));
      await kubectl.must([
        ...["create", "secret", "docker-registry", "made", `--docker-server=${registry.host}`],
        ...[`--docker-username=${user}`, `--docker-password=${rest.join(":")}`],
      ]);
      await site.podRuns("late", 60_000);
    });

    await t.step("auth alone, the old form, a wrong one before the right one", async () => {
      await secret("short", ".dockerconfigjson", {
        auths: { [`http://${registry.host}`]: { auth } },
      });
      await secret("old", ".dockercfg", { [`https://${registry.host}/v1/`]: { auth } });
      const wrong = { username: "nobody", password: "wrong" };
      await secret("wrong", ".dockerconfigjson", { auths: { [`${registry.host}/team`]: wrong } });
      await kubectl.apply(pod("short", references[2]!, { imagePullSecrets: [{ name: "short" }] }));
      await kubectl.apply(pod("old", references[3]!, { imagePullSecrets: [{ name: "old" }] }));
      const both = [{ name: "wrong" }, { name: "old" }];
      await kubectl.apply(pod("both", references[4]!, { imagePullSecrets: both }));
      for (const name of ["short", "old", "both"]) await site.podRuns(name, 60_000);
    });

    await t.step("the account's secrets are its pods'; a digest pins the image", async () => {
      const account = { name: "puller" };
      const made = { apiVersion: "v1", kind: "ServiceAccount", metadata: account };
      await kubectl.apply({ ...made, imagePullSecrets: [{ name: "short" }] });
      const tagged = references[5]!;
      const digest = registry.digestOf("team/private5", "1");
      const pinned = `${tagged.slice(0, tagged.lastIndexOf(":"))}@${digest}`;
      await kubectl.apply(pod("pinned", pinned, { serviceAccountName: "puller" }));
      const running = await site.podRuns("pinned", 60_000);
      assertEquals(running.spec.imagePullSecrets, [{ name: "short" }]);
      assertStringIncludes(running.status?.containerStatuses?.[0]?.imageID ?? "", digest);
    });
  },
);
