/**
 * An application at the node asks a REST target of the cloud's side, as KubeEdge's documentation
 * and its own end-to-end test have it; and what it asks during an outage gets there too.
 */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { parse, stringify } from "yaml";
import type { Rule } from "../../cloud/rules/port.ts";
import { run } from "../support/process.ts";
import type { Site } from "../support/site.ts";
import { freePort } from "../support/push_servers.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const RULES = "rules.kubeedge.io/v1";
const ASKED = "http://127.0.0.1:9000/echo";

/** Ends the edge and starts it with its ServiceBus on. */
async function enable(site: Site): Promise<void> {
  const file = join(site.edgeDir, "edge.yaml");
  const config = parse(await Deno.readTextFile(file));
  config.serviceBus = { enable: true, listen: "127.0.0.1:0" };
  await Deno.writeTextFile(file, stringify(config));
  await restartEdge(site);
}

async function restartEdge(site: Site): Promise<void> {
  await site.killEdge();
  await site.startEdge();
}

async function address(site: Site): Promise<string> {
  return await until(async () => {
    const text = await Deno.readTextFile(join(site.edgeDir, "addresses.json"));
    const { serviceBus } = JSON.parse(text);
    return typeof serviceBus === "string" && serviceBus;
  }, { what: "the address of the ServiceBus" });
}

/** As its user would: curl, with what KubeEdge's own test sends. */
async function ask(site: Site, payload: string, ...headers: string[]) {
  const body = JSON.stringify({ method: "POST", targetURL: ASKED, payload });
  const more = ["Content-Type: application/json", ...headers].flatMap((line) => ["-H", line]);
  const args = ["-sS", "-m", "90", ...more, "-d", body, await address(site)];
  const { stdout, stderr } = await run("curl", args);
  try {
    return JSON.parse(stdout) as { code: number; msg: string; body: string }; // as it is told
  } catch {
    return { code: 0, msg: `${stdout} ${stderr}`, body: "" };
  }
}

siteTest("an application asks a REST target by rule, also in an outage", async ({ site, t }) => {
  const port = freePort();
  const resource = `http://127.0.0.1:${port}/echo`;
  const got: string[] = [];
  const serve = () =>
    Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, async (request) => {
      got.push(JSON.parse(await request.text()).payload);
      return new Response("Hello World");
    });
  let target = serve();
  try {
    await enable(site);
    await site.nodeIs("True");
    await t.step("without a rule it is told to make one", async () => {
      const { code, msg } = await ask(site, "");
      const why = "is not allowed and please make a rule for this url in the cloud";
      assertEquals([code, msg], [400, `url ${ASKED} ${why}`]);
    });
    await t.step("with one it gets what the target says", async () => {
      const properties = { service_port: "9000" };
      const items = [
        { name: "servicebus-test", spec: { ruleEndpointType: "servicebus", properties } },
        { name: "rest-test", spec: { ruleEndpointType: "rest" } },
      ].map(({ name, spec }) => ({
        apiVersion: RULES,
        kind: "RuleEndpoint",
        metadata: { name },
        spec,
      }));
      await site.kubectl.apply({ apiVersion: "v1", kind: "List", items });
      await site.kubectl.apply({
        apiVersion: RULES,
        kind: "Rule",
        metadata: { name: "rule-servicebus-rest-test" },
        spec: {
          source: "servicebus-test",
          sourceResource: { target_url: ASKED, node_name: "edge-1" },
          target: "rest-test",
          targetResource: { resource },
        },
      });
      await until(async () => (await ask(site, "hello")).body === "Hello World", {
        what: "the rule to be known",
        everyMs: 300,
        timeoutMs: 30_000,
      });
      assertEquals(got, ["hello"]);
      const { serviceBus } = await (await site.edge.fetch("/v1/status")).json();
      assertEquals([serviceBus.urls, serviceBus.answered], [1, 1]);
    });
    await t.step("what it asks in an outage of everything is kept, and gets there", async () => {
      await target.shutdown();
      assertEquals((await ask(site, "target away", "Prefer: wait=1")).code, 202);
      await site.killCloud();
      await site.relay.cut();
      assertEquals((await ask(site, "link cut", "Prefer: wait=1")).code, 202);
      await restartEdge(site);
      assertEquals((await ask(site, "no cloud yet", "Prefer: respond-async")).code, 202);
      await site.startCloud();
      site.relay.heal();
      target = serve();
      await until(() => new Set(got).size === 4, { what: "all of it", timeoutMs: 120_000 });
    });
    await t.step("the rule's status counts it", async () => {
      await until(async () => {
        const rule = await site.kubectl.getJson("rule", "rule-servicebus-rest-test") as Rule;
        // but for what was counted in the two seconds before the kill
        return (rule.status?.successMessages ?? 0) >= 3;
      }, { what: "the requests counted", timeoutMs: 30_000 });
    });
  } finally {
    await target.shutdown();
  }
});
