/** A device that pushes, through both programs: what the site's server missed, it gets. */
import { assertEquals } from "@std/assert";
import { freePort } from "../support/push_servers.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const API = "devices.kubeedge.io/v1beta1";

siteTest("a device's values go to a server that comes later, over a kill", async ({ site }) => {
  const port = freePort();
  const http = { hostName: "http://127.0.0.1", port, requestPath: "/in" };
  await site.kubectl.apply({
    apiVersion: API,
    kind: "DeviceModel",
    metadata: { name: "meter" },
    spec: { properties: [{ name: "power", type: "INT", accessMode: "ReadWrite" }] },
  });
  await site.kubectl.apply({
    apiVersion: API,
    kind: "Device",
    metadata: { name: "m1" },
    spec: {
      deviceModelRef: { name: "meter" },
      nodeName: "edge-1",
      properties: [{ name: "power", pushMethod: { http } }],
    },
  });
  const { mqtt } = await until(async () => {
    const found = JSON.parse(await Deno.readTextFile(`${site.edgeDir}/addresses.json`));
    return typeof found.mqtt === "string" && found;
  }, { what: "the node's broker" });
  const { connectAsync } = (await import("mqtt")).default;
  const client = await connectAsync(mqtt);
  const queued = async () => {
    const status = await (await site.edge.fetch("/v1/status")).json();
    return status.push?.destinations?.[0]?.queued as number | undefined; // as it is told there
  };
  for (const [i, value] of ["1", "2", "3"].entries()) {
    const twin = { power: { actual: { value }, metadata: { type: "int" } } };
    await until(async () => {
      const payload = JSON.stringify({ event_id: value, timestamp: 0, twin });
      const topic = "$hw/events/device/default/m1/twin/update";
      if (await queued() !== i + 1) await client.publishAsync(topic, payload, { qos: 1 });
      return await queued() === i + 1;
    }, { what: `value ${value} queued`, everyMs: 200, timeoutMs: 30_000 });
  }
  await client.endAsync(true);
  await site.killEdge();
  const got: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, async (r) => {
    got.push(new URLSearchParams(await r.text()).get("power") ?? "");
    return new Response(null);
  });
  try {
    await site.startEdge();
    await until(() => got.length === 3, { what: "the values", timeoutMs: 60_000 });
    assertEquals(got, ["1", "2", "3"]);
  } finally {
    await server.shutdown();
  }
});
