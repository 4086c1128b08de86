/** Messages by rule through both programs, and through a link and a cloud that go away. */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { connectAsync } from "mqtt";
import { AppError } from "../../shared/errors.ts";
import type { Rule } from "../../cloud/rules/port.ts";
import type { Site } from "../support/site.ts";
import { freePort } from "../support/push_servers.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const RULES = "rules.kubeedge.io/v1";

function endpoint(name: string, type: string, properties: Record<string, string> = {}) {
  const spec = { ruleEndpointType: type, properties };
  return { apiVersion: RULES, kind: "RuleEndpoint", metadata: { name }, spec };
}

type Resource = Record<string, string>;

function rule(name: string, from: [string, Resource], to: [string, Resource]) {
  const [source, sourceResource] = from;
  const [target, targetResource] = to;
  const spec = { source, sourceResource, target, targetResource };
  return { apiVersion: RULES, kind: "Rule", metadata: { name }, spec };
}

/** The REST end of the site's cloud. */
class RestEnd {
  readonly #url: string;
  readonly #token: string;
  readonly #http: Deno.HttpClient;

  constructor(url: string, token: string, ca: string) {
    this.#url = url;
    this.#token = token;
    this.#http = Deno.createHttpClient({ caCerts: [ca] });
  }

  async post(path: string, body: string, token = this.#token): Promise<[number, string]> {
    const headers: Record<string, string> = token === ""
      ? {}
      : { authorization: `Bearer ${token}` };
    const init = { method: "POST", headers, body, client: this.#http };
    const answer = await fetch(`${this.#url}${path}`, init);
    return [answer.status, (await answer.text()).trim()];
  }

  close(): void {
    this.#http.close();
  }
}

async function restart(site: Site, config: string): Promise<void> {
  await site.killCloud();
  await site.startCloud("--config", config);
}

async function edgeBroker(site: Site): Promise<string> {
  return await until(async () => {
    const text = await Deno.readTextFile(join(site.edgeDir, "addresses.json"));
    const { mqtt } = JSON.parse(text);
    return typeof mqtt === "string" && mqtt.replace(/^\w+:\/\//, "");
  }, { what: "the address of the node's broker" });
}

siteTest("rules carry messages both ways, also those of an outage", async ({ site, t }) => {
  const port = freePort();
  const config = join(site.dir, "cloud.yaml");
  await Deno.writeTextFile(
    config,
    "apiVersion: config.skerry.dev/v1alpha1\nkind: CloudConfig\n" +
      `rest:\n  listen: 127.0.0.1:${port}\n`,
  );
  await restart(site, config);
  const got: string[] = [];
  const target = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (r) => {
    if (new URL(r.url).pathname !== "/in") return new Response(`heard ${await r.text()}`);
    got.push(await r.text());
    return new Response("ok");
  });
  const kubeconfig = await Deno.readTextFile(site.kubeconfig);
  const ca = /certificate-authority-data: (\S+)/.exec(kubeconfig)?.[1];
  if (!ca) throw new AppError("internal", "no authority in the kubeconfig");
  const rest = new RestEnd(`https://127.0.0.1:${port}`, site.cloud.token, atob(ca));
  const client = await connectAsync(`mqtt://${await edgeBroker(site)}`);
  const heard: string[] = [];
  client.on("message", (topic, payload) => heard.push(`${topic} ${payload}`));
  try {
    await client.subscribeAsync("down/#", { qos: 1 });
    const items = [
      endpoint("rest", "rest"),
      endpoint("bus", "eventbus"),
      endpoint("service", "servicebus", { service_port: String(target.addr.port) }),
      rule("down", ["rest", { path: "a" }], ["bus", { topic: "down" }]),
      rule("ask", ["rest", { path: "ask" }], ["service", { path: "echo" }]),
      rule("up", ["bus", { topic: "up", node_name: "edge-1" }], [
        "rest",
        { resource: `http://127.0.0.1:${target.addr.port}/in` },
      ]),
    ];
    await site.kubectl.apply({ apiVersion: "v1", kind: "List", items });
    await site.nodeIs("True");
    await t.step("the REST end asks who it is, and says what it has no rule for", async () => {
      assertEquals((await rest.post("/edge-1/default/a", "x", ""))[0], 401);
      assertEquals((await rest.post("/edge-1/default/a", "x", "wrong"))[0], 401);
      assertEquals((await rest.post("/edge-1/default/nothing", "x"))[0], 404);
      assertEquals((await rest.post("/nowhere/default/a", "x"))[0], 404);
    });
    await t.step("REST to the event bus, with a suffix", async () => {
      await until(async () => (await rest.post("/edge-1/default/a/b", "1"))[0] === 200, {
        what: "the rule to be known",
      });
      await until(() => heard.includes("down/b 1"), { what: "the message" });
    });
    await t.step("REST to a service, and its answer", async () => {
      assertEquals(await rest.post("/edge-1/default/ask/x?y=1", "you"), [200, "heard you"]);
    });
    await t.step("the event bus to REST", async () => {
      await until(async () => {
        await client.publishAsync("default/up", "u1", { qos: 1 });
        return got.includes("u1");
      }, { what: "the message", everyMs: 500, timeoutMs: 30_000 });
    });
    await t.step("what is sent while the link is cut and the cloud killed arrives", async () => {
      await site.relay.cut();
      got.length = 0;
      await client.publishAsync("default/up", "u2", { qos: 1 });
      await until(async () => (await rest.post("/edge-1/default/a/c", "2"))[0] === 200, {
        what: "the message to be accepted",
      });
      await restart(site, config);
      assertEquals(heard.includes("down/c 2"), false);
      site.relay.heal();
      await until(() => heard.includes("down/c 2"), {
        what: "the message down",
        timeoutMs: 60_000,
      });
      await until(() => got.includes("u2"), { what: "the message up", timeoutMs: 60_000 });
    });
    await t.step("the rules' status counts them", async () => {
      await until(async () => {
        const { status } = await site.kubectl.getJson("rule", "down") as Rule;
        return (status?.successMessages ?? 0) >= 1;
      }, { what: "a message counted", timeoutMs: 30_000 });
    });
  } finally {
    rest.close();
    await client.endAsync(true);
    await target.shutdown();
  }
});
