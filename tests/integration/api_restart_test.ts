/** The embedded API on the store on disk: what was answered is there after a restart. */
import { assertEquals, assertRejects } from "@std/assert";
import { type ApiServer, createApiServer } from "../../cloud/apiserver/app.ts";
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap } from "../../shared/k8s/types.ts";
import { SystemRandom } from "../../shared/random.ts";
import { DenoDisk } from "../../shared/store/deno_disk.ts";
import { openStore } from "../../shared/store/durable_store.ts";

const signal = new AbortController().signal;

async function withServer(dir: string, work: (server: ApiServer) => Promise<void>) {
  const clock = new SystemClock();
  const store = await openStore({ dir, disk: new DenoDisk(), clock });
  const server = await createApiServer({
    store,
    clock,
    random: new SystemRandom(),
    nodeProxy: { fetch: () => Promise.reject(new AppError("unavailable", "no nodes here")) },
    authenticator: { authenticate: () => Promise.resolve(undefined) },
    version: "0.1.0",
  });
  await work(server);
  await server.close();
  await store.close();
}

Deno.test("the embedded API keeps objects, revisions and uids over a restart", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-api-restart-" });
  const namespace = "default";
  let before: ConfigMap[] = [];
  let revision = "";
  await withServer(dir, async (server) => {
    const kube = inProcessKube(server.fetchAs(SYSTEM));
    const names = Array.from({ length: 20 }, (_, i) => `m-${String(i).padStart(2, "0")}`);
    await Promise.all(
      names.map((name) =>
        kube.create<ConfigMap>(GVR.configmaps, { metadata: { name }, data: { name } }, signal, {
          namespace,
        })
      ),
    );
    await kube.delete(GVR.configmaps, { namespace, name: "m-07" }, {}, signal);
    const list = await kube.list<ConfigMap>(GVR.configmaps, { namespace }, signal);
    before = list.items;
    revision = list.metadata.resourceVersion ?? "";
  });
  await withServer(dir, async (server) => {
    const kube = inProcessKube(server.fetchAs(SYSTEM));
    const list = await kube.list<ConfigMap>(GVR.configmaps, { namespace }, signal);
    assertEquals(list.items, before);
    assertEquals(list.metadata.resourceVersion, revision);
    const old = kube.watch(GVR.configmaps, { namespace, resourceVersion: "2" }, signal);
    const error = await assertRejects(async () => {
      for await (const _ of old);
    }, AppError);
    assertEquals(error.code, "stale");
    const next = await kube.create<ConfigMap>(
      GVR.configmaps,
      { metadata: { name: "new" } },
      signal,
      {
        namespace,
      },
    );
    assertEquals(Number(next.metadata.resourceVersion) > Number(revision), true);
  });
  await Deno.remove(dir, { recursive: true });
});
