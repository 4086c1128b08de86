import { assertEquals, assertStringIncludes } from "@std/assert";
import { Hono } from "hono";
import { Changes } from "../../../shared/async/wakeup.ts";
import type { Pod } from "../../../shared/k8s/types.ts";
import { SimClock } from "../../../shared/testing/sim_clock.ts";
import type { Intent, IntentRequest, Intents } from "../../intents/port.ts";
import { accessGuard } from "../access.ts";
import { statusResponse } from "../status_error.ts";
import { addActs } from "./acts.ts";

class MemoryIntents implements Intents {
  readonly changes = new Changes();
  readonly asked: IntentRequest[] = [];
  all: Intent[] = [];

  record(request: IntentRequest): ReturnType<Intents["record"]> {
    this.asked.push(request);
    const { verb, namespace, name, by } = request;
    const id = `intent-${this.all.length}`;
    const pod = { namespace, name, uid: `uid-${name}` };
    const state = "pending" as const;
    const intent = { id, verb, pod, by, specDigest: "d", at: "t", state };
    this.all.push(intent);
    return Promise.resolve(intent);
  }

  setTwin(): Promise<Intent> {
    return Promise.reject(new Error("no test sets a twin"));
  }

  list(): Intent[] {
    return this.all;
  }

  get(id: string): Intent | undefined {
    return this.all.find((intent) => intent.id === id);
  }

  carryOut(): void {
    this.all = this.all.map((intent) => ({ ...intent, state: "applied" }));
    this.changes.notify();
  }
}

function pod(name: string, phase: "Running" | "Succeeded" = "Running"): Pod {
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { containers: [{ name: "c" }], terminationGracePeriodSeconds: 5 },
    status: { phase },
  };
}

function world() {
  const intents = new MemoryIntents();
  const clock = new SimClock();
  const app = new Hono();
  app.onError((error) => statusResponse(error));
  app.use(accessGuard("secret"));
  const pods = {
    list: () => [pod("web"), pod("done", "Succeeded")],
    subscribe: () => () => {},
    log: () => Promise.reject(new Error("no test reads a log")),
  };
  addActs(app, { pods, intents, clock });
  const ask = async (method: string, path: string, init: RequestInit = {}) => {
    const headers = { authorization: "Bearer secret", ...init.headers };
    return await app.request(`http://127.0.0.1${path}`, { ...init, method, headers });
  };
  return { intents, clock, app, ask };
}

const WEB = "/api/v1/namespaces/default/pods/web";

Deno.test("DELETE of a pod restarts it and answers when the old run has ended", async () => {
  const { intents, clock, ask } = world();
  let answered = false;
  const asked = ask("DELETE", WEB, {
    body: JSON.stringify({ propagationPolicy: "Background", gracePeriodSeconds: 1 }),
    headers: { "user-agent": "kubectl/v1.33.0 (linux/amd64) kubernetes/abc" },
  }).then((response) => {
    answered = true;
    return response;
  });
  await clock.until(() => intents.asked.length === 1);
  await clock.advance(10_000);
  assertEquals(answered, false);
  intents.carryOut();
  const response = await asked;
  const { status, details } = await response.json();
  assertEquals([response.status, status], [200, "Success"]);
  // another uid than the pod's: kubectl then stops waiting for the pod to be gone
  assertEquals(details, { name: "web", kind: "pods", uid: "intent-0" });
  const { verb, graceSeconds, by } = intents.asked[0]!;
  assertEquals([verb, graceSeconds, by], ["restart", 1, "kubectl/v1.33.0"]);
});

Deno.test("an act that cannot be carried out now is answered after its grace", async () => {
  const { intents, clock, ask } = world();
  const asked = ask("DELETE", `${WEB}?mode=remove`);
  await clock.until(() => intents.asked.length === 1);
  await clock.advance(21_000);
  assertEquals((await (await asked).json()).status, "Success");
  assertEquals(intents.asked[0]?.verb, "remove");
});

Deno.test("restart and removal over /v1 are accepted at once, and can be looked up", async () => {
  const { intents, ask } = world();
  const path = "/v1/pods/default/web";
  const restart = await ask("POST", `${path}/restart?container=c&by=ada`);
  assertEquals([restart.status, (await restart.json()).id], [202, "intent-0"]);
  assertEquals((await ask("DELETE", path)).status, 202);
  assertEquals(intents.asked.map(({ verb, container }) => [verb, container]), [
    ["restart", "c"],
    ["remove", undefined],
  ]);
  assertEquals((await (await ask("GET", "/v1/intents")).json()).items.length, 2);
  assertEquals((await (await ask("GET", "/v1/intents/intent-1")).json()).verb, "remove");
  assertEquals((await ask("GET", "/v1/intents/none")).status, 404);
});

Deno.test("what makes no sense is refused, and a dry run does nothing", async () => {
  const { intents, ask } = world();
  assertEquals((await ask("DELETE", WEB.replace("web", "none"))).status, 404);
  const done = await ask("DELETE", WEB.replace("web", "done"));
  assertEquals(done.status, 409);
  assertStringIncludes((await done.json()).message, "it has ended (Succeeded)");
  assertEquals((await ask("DELETE", `${WEB}?mode=burn`)).status, 400);
  assertEquals((await ask("DELETE", WEB, { body: "{" })).status, 400);
  assertEquals((await ask("DELETE", WEB, { body: '{"gracePeriodSeconds":-1}' })).status, 400);
  assertEquals((await ask("DELETE", WEB, { body: '{"dryRun":["All"]}' })).status, 200);
  assertEquals(intents.asked, []);
});

Deno.test("acts need the token; reads do not, but a wrong token is no token", async () => {
  const { app, intents } = world();
  const ask = async (method: string, headers: HeadersInit, env = { tls: false }) =>
    (await app.request(`http://127.0.0.1/v1/intents`, { method, headers }, env)).status;
  assertEquals(await ask("GET", {}), 200);
  assertEquals(await ask("GET", { authorization: "Bearer wrong" }), 401);
  const act = async (headers: HeadersInit) =>
    (await app.request(`http://127.0.0.1${WEB}`, { method: "DELETE", headers })).status;
  assertEquals([await act({}), await act({ authorization: "Bearer wrong" })], [401, 401]);
  assertEquals(intents.asked, []);
  const host = { host: "edge.example", authorization: "Bearer secret" };
  assertEquals(await ask("GET", host), 403);
  assertEquals(await ask("GET", host, { tls: true }), 200);
  assertEquals(await ask("GET", { host: "edge.example" }, { tls: true }), 403);
});
