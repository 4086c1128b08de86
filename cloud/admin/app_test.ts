import { assertEquals, assertStringIncludes } from "@std/assert";
import { TrafficCounters } from "../../shared/wire/traffic.ts";
import { frame } from "../../shared/wire/tunnel_frames.ts";
import { createAdminApp } from "./app.ts";

Deno.test("the cloud's metrics count messages and bytes with nodes by class and way", async () => {
  const traffic = new TrafficCounters();
  traffic.tunnel("up", frame(1, { case: "data", value: new Uint8Array(700) }));
  traffic.tunnel("up", frame(1, { case: "data", value: new Uint8Array(34) }));
  const app = createAdminApp(() => ({
    version: "1",
    startedAtMs: 0,
    nowMs: 1,
    sessions: [],
    traffic: traffic.totals,
    objects: {},
    storeSequence: 0,
    damage: [],
    checks: [],
  }));
  const response = await app.fetch(new Request("http://localhost/metrics"));
  assertEquals(response.status, 200);
  const text = await response.text();
  assertStringIncludes(text, '\nskerry_hub_messages_total{class="tunnel",direction="up"} 2\n');
  assertStringIncludes(text, '\nskerry_hub_bytes_total{class="tunnel",direction="up"} 734\n');
  assertStringIncludes(text, '\nskerry_hub_bytes_total{class="report",direction="down"} 0\n');
});
