/**
 * The embedded Kubernetes API as `skerry-cloud` serves it (TLS, admin token), over a store in
 * memory and with a node that answers log requests, for tests that drive it with real kubectls.
 */
import { join } from "@std/path";
import { type ApiServer, createApiServer } from "../../cloud/apiserver/app.ts";
import { SYSTEM } from "../../cloud/apiserver/authorize.ts";
import type { NodeProxy } from "../../cloud/apiserver/port.ts";
import { serveApi } from "../../cloud/apiserver/server.ts";
import { inProcessKube } from "../../cloud/kube/in_process.ts";
import type { KubeClient } from "../../cloud/kube/port.ts";
import { AdminAuthenticator, loadAdminToken } from "../../cloud/pki/admin_token.ts";
import { openAuthority } from "../../cloud/pki/authority.ts";
import { Signer } from "../../cloud/pki/signer.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { MemoryStore } from "../../shared/store/memory_store.ts";

export interface ApiFixture extends AsyncDisposable {
  readonly dir: string;
  readonly kubeconfig: string;
  readonly url: string;
  readonly ca: string;
  readonly token: string;
  readonly signer: Signer;
  readonly server: ApiServer;
  readonly kube: KubeClient;
}

/** Starts the API on a free port in a folder of its own. */
export async function startApi(): Promise<ApiFixture> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-api-" });
  const clock = new SystemClock();
  const random = new SystemRandom();
  const authority = await openAuthority({ dir: join(dir, "pki"), clock, random });
  const signer = new Signer({ authority, clock, random });
  const token = await loadAdminToken(dir, random);
  const server = await createApiServer({
    store: new MemoryStore(),
    clock,
    random,
    nodeProxy: fakeNode(),
    authenticator: new AdminAuthenticator(token),
    version: "0.1.0",
  });
  const { certificate, privateKey } = await signer.issueServer(["127.0.0.1"]);
  const served = await serveApi({
    app: server.app,
    address: { host: "127.0.0.1", port: 0 },
    tls: { cert: certificate, key: privateKey, ca: authority.certificate },
  });
  const url = `https://127.0.0.1:${served.address.port}`;
  const kubeconfig = join(dir, "kubeconfig");
  await Deno.writeTextFile(kubeconfig, kubeconfigText(url, authority.certificate, token));
  return {
    dir,
    kubeconfig,
    url,
    ca: authority.certificate,
    token,
    signer,
    server,
    kube: inProcessKube(server.fetchAs(SYSTEM)),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await served.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

function kubeconfigText(server: string, ca: string, token: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server, "certificate-authority-data": btoa(ca) } }],
    users: [{ name: "u", user: { token } }],
    contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    "current-context": "c",
  });
}

/** A node whose log is what was asked of it; with `follow`, a second line comes later. */
function fakeNode(): NodeProxy {
  return {
    fetch: (node, request) => {
      const { pathname, searchParams } = new URL(request.url);
      const lines = [`${node} ${pathname} ${searchParams}\n`];
      if (searchParams.has("follow")) lines.push("second line\n");
      const encoder = new TextEncoder();
      const body = new ReadableStream<Uint8Array>({
        pull: (controller) => {
          const line = lines.shift();
          if (line === undefined) controller.close();
          else controller.enqueue(encoder.encode(line));
        },
      }, { highWaterMark: 0 });
      return Promise.resolve(new Response(body));
    },
  };
}
