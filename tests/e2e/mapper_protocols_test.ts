/**
 * Every protocol that is built in, from kubectl to the device and back, beside each other on one
 * node: simulator, MQTT by the node's broker and by mosquitto, HTTP, a serial Modbus line, OPC UA.
 */
import { assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { Device } from "../../shared/k8s/devices.ts";
import { must } from "../support/process.ts";
import { httpPeer, mqttPeer, opcuaPeer, type Peer, serialPeer } from "../support/protocol_peers.ts";
import { freePort, simulatorPeer } from "../support/protocol_peers.ts";
import type { Site } from "../support/site.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const API_VERSION = "devices.kubeedge.io/v1beta1";
const TIMEOUT_MS = 120_000;

const MODEL = {
  apiVersion: API_VERSION,
  kind: "DeviceModel",
  metadata: { name: "levelled" },
  spec: { properties: [{ name: "level", type: "INT", accessMode: "ReadWrite" }] },
};

function manifest({ name, protocolName, configData, visitor }: Peer, desired?: number) {
  return {
    apiVersion: API_VERSION,
    kind: "Device",
    metadata: { name },
    spec: {
      deviceModelRef: { name: "levelled" },
      nodeName: "edge-1",
      protocol: { protocolName, configData: configData() },
      properties: [{
        name: "level",
        collectCycle: 300,
        reportCycle: 300,
        reportToCloud: true,
        visitors: { protocolName, configData: visitor },
        ...(desired === undefined ? {} : { desired: { value: String(desired) } }),
      }],
    },
  };
}

async function peersOf(site: Site): Promise<Peer[]> {
  const dir = async (name: string) => {
    const path = join(site.dir, "peers", name);
    await Deno.mkdir(path, { recursive: true });
    return path;
  };
  const { mqtt } = JSON.parse(await Deno.readTextFile(join(site.edgeDir, "addresses.json")));
  const external = `mqtt://127.0.0.1:${freePort()}`;
  return [
    simulatorPeer(),
    httpPeer(),
    mqttPeer("lamp", () => String(mqtt)),
    mqttPeer("far-lamp", () => external, { dir: await dir("mosquitto") }),
    serialPeer(await dir("serial")),
    opcuaPeer(await dir("opcua")),
  ];
}

async function eachIs(
  site: Site,
  peers: readonly Peer[],
  what: string,
  holds: (
    peer: Peer,
    status: NonNullable<Device["status"]>,
  ) => boolean | Promise<boolean>,
): Promise<void> {
  await Promise.all(peers.map((peer) =>
    until(async () => {
      if (!peer.losesServer) await peer.speak?.();
      const found = await site.kubectl.getJson("devicestatus", peer.name) as Device;
      if (found.status && await holds(peer, found.status)) return true;
      const held = await peer.level?.().catch((error) => error);
      throw new Error(`${held} ${JSON.stringify(found.status ?? null).slice(0, 1_000)}`);
    }, { what: `${peer.name}: ${what}`, timeoutMs: TIMEOUT_MS, everyMs: 500 })
  ));
}

function reported(status: NonNullable<Device["status"]>): string | undefined {
  return status.twins?.find(({ propertyName }) => propertyName === "level")?.reported?.value;
}

/** Desired, and so at the device. */
function holds(level: number) {
  return async (peer: Peer, status: NonNullable<Device["status"]>) =>
    reported(status) === String(level) &&
    (peer.level === undefined || await peer.level() === level);
}

siteTest("devices of every protocol: read, written, away and back", async ({ site, t }) => {
  const peers = await peersOf(site);
  const losing = peers.filter(({ losesServer }) => losesServer);
  const cli = (...args: string[]) =>
    must(site.programs.edge, [...args, "--data-dir", site.edgeDir]);
  await Promise.all(peers.map((peer) => peer.start()));
  try {
    await t.step("what they hold is in the cloud and at the node", async () => {
      await site.kubectl.apply(MODEL);
      for (const peer of peers) await site.kubectl.apply(manifest(peer));
      await eachIs(
        site,
        peers,
        "read",
        ({ initial }, status) => reported(status) === String(initial) && status.state === "online",
      );
      for (const { name, initial } of peers) {
        assertMatch(await cli("get", "twins", `default/${name}`), new RegExp(`level.*${initial}`));
        const local = await site.edge.get<{ state: string }>(`/v1/devices/default/${name}`);
        assertMatch(local.state, /^online$/);
      }
    });
    await t.step("what kubectl desires reaches them", async () => {
      for (const peer of peers) await site.kubectl.apply(manifest(peer, 21));
      await eachIs(site, peers, "21", holds(21));
    });
    await t.step("what the site desires reaches them, and the cloud", async () => {
      for (const { name } of peers) await cli("set", "twin", `default/${name}`, "level", "34");
      await eachIs(site, peers, "34", holds(34));
    });
    await t.step("their servers gone, they are offline, and kubectl says why", async () => {
      await Promise.all(losing.map((peer) => peer.stop()));
      await eachIs(site, losing, "offline", (_, { state }) => state === "offline");
      await Promise.all(losing.map((peer) => described(site, peer, /Warning +DeviceUnreachable /)));
    });
    await t.step("their servers back as new, they hold what is desired", async () => {
      await Promise.all(losing.map((peer) => peer.start()));
      await eachIs(site, losing, "online", (_, { state }) => state === "online");
      await eachIs(site, losing, "34 again", holds(34));
      await Promise.all(losing.map((peer) => described(site, peer, /Normal +DeviceOnline /)));
    });
  } finally {
    await Promise.allSettled(peers.map((peer) => peer.stop()));
  }
}, { parts: ["mosquitto", "socat", "asyncua"] });

async function described(site: Site, { name }: Peer, pattern: RegExp): Promise<void> {
  await until(async () => {
    const text = await site.kubectl.must(["describe", "device", name]);
    if (pattern.test(text)) return true;
    throw new Error(text.slice(-1_000));
  }, { what: `kubectl describe device ${name}: ${pattern}`, timeoutMs: TIMEOUT_MS });
}
