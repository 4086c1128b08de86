/**
 * Who is let in, with mosquitto's own programs: TLS and client certificates at the embedded broker,
 * users of mosquitto_passwd and the access list, and an outside broker that asks for all of it.
 */
import { join } from "@std/path";
import { assert, assertEquals } from "@std/assert";
import { openAuthority } from "../../cloud/pki/authority.ts";
import { type KeyAndCertificate, Signer } from "../../cloud/pki/signer.ts";
import { SystemClock } from "../../shared/clock.ts";
import { SystemRandom } from "../../shared/random.ts";
import { deviceName, NAMESPACE } from "../support/device_node.ts";
import { freePort, mosquittoPub, MosquittoSub, MqttNode, startMosquitto } from "../support/mqtt.ts";
import { must } from "../support/process.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const BASE = `$hw/events/device/${NAMESPACE}/${deviceName(0)}`;
const clock = new SystemClock();
const random = new SystemRandom();

interface Papers {
  caFile: string;
  certFile: string;
  keyFile: string;
}

/** An authority of its own, with papers for a server here and for a client. */
async function makePapers(dir: string): Promise<{ server: Papers; client: Papers }> {
  const authority = await openAuthority({ dir, clock, random });
  const signer = new Signer({ authority, clock, random });
  const caFile = join(dir, "ca.crt");
  const keep = async (name: string, { certificate, privateKey }: KeyAndCertificate) => {
    const papers = {
      caFile,
      certFile: join(dir, `${name}.crt`),
      keyFile: join(dir, `${name}.key`),
    };
    await Deno.writeTextFile(papers.certFile, certificate);
    await Deno.writeTextFile(papers.keyFile, privateKey);
    return papers;
  };
  return {
    server: await keep("server", await signer.issueServer(["localhost", "127.0.0.1"])),
    client: await keep("client", await signer.issueAdmin("press")),
  };
}

function shown({ caFile, certFile, keyFile }: Papers): string[] {
  return ["--cafile", caFile, "--cert", certFile, "--key", keyFile];
}

function asUser(name: string, password: string): string[] {
  return ["-u", name, "-P", password];
}

async function inTemp(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-mqtt-it-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function update(eventId: string, value: string): string {
  const twin = { "property-1": { actual: { value } } };
  return JSON.stringify({ event_id: eventId, twin });
}

testWith(["mosquitto"], "MQTT over TLS: whoever shows a certificate of the CA is in", async () => {
  await inTemp(async (dir) => {
    const { server, client } = await makePapers(join(dir, "pki"));
    const stranger = (await makePapers(join(dir, "other"))).client;
    const { certFile, keyFile, caFile: clientCAFile } = server;
    const tls = { listen: "127.0.0.1:0", certFile, keyFile, clientCAFile };
    await using bus = await MqttNode.start(dir, { tls }, 1);
    await bus.port();
    const port = Number(new URL(bus.room.addresses().mqttTls ?? "").port);
    await using sub = await MosquittoSub.start(dir, {
      port,
      topics: ["$hw/#"],
      args: shown(client),
    });
    const topic = `${BASE}/twin/update`;
    const caOnly = ["--cafile", client.caFile];
    const wrong = [...caOnly, "--cert", stranger.certFile, "--key", stranger.keyFile];
    for (const [what, args] of Object.entries({ caOnly, wrong, plain: [] })) {
      const { code } = await mosquittoPub(port, topic, update("bad", "1"), args);
      assert(code !== 0, `${what}: let in`);
    }
    assertEquals((await sub.heard()).length, 0);
    const big = update("good", "2.5").padEnd(200_000); // many TLS records
    assertEquals((await mosquittoPub(port, topic, big, shown(client))).code, 0);
    assertEquals((await sub.next(`${topic}/result`)).event_id, "good");
    assertEquals(bus.room.counts().requests, { "twin_update 200": 1 });
  });
});

testWith(["mosquitto"], "MQTT over TLS: the list knows a client by its certificate", async () => {
  await inTemp(async (dir) => {
    const { server, client } = await makePapers(join(dir, "pki"));
    const { certFile, keyFile, caFile: clientCAFile } = server;
    const tls = { listen: "127.0.0.1:0", certFile, keyFile, clientCAFile };
    const acl = [{ user: "press", read: ["$hw/#"], write: [`${BASE}/#`] }];
    await using bus = await MqttNode.start(dir, { tls, acl }, 2);
    const plain = await bus.port();
    const port = Number(new URL(bus.room.addresses().mqttTls ?? "").port);
    const args = shown(client);
    await using sub = await MosquittoSub.start(dir, { port, topics: ["$hw/#"], args });
    const topic = `${BASE}/twin/update`;
    await mosquittoPub(plain, topic, update("nameless", "1"));
    assertEquals((await sub.next(`${topic}/result`)).code, 403);
    await mosquittoPub(port, topic, update("named", "2"), args);
    await sub.next(`${topic}/result`, ({ event_id }) => event_id === "named");
    const other = `$hw/events/device/${NAMESPACE}/${deviceName(1)}/twin/update`;
    await mosquittoPub(port, other, update("far", "3"), args);
    assertEquals((await sub.next(`${other}/result`)).code, 403);
    assertEquals(bus.room.counts().requests, { "twin_update 200": 1, "twin_update 403": 2 });
  });
});

testWith(
  ["mosquitto"],
  "MQTT: users of mosquitto_passwd, and what the list lets them",
  async () => {
    await inTemp(async (dir) => {
      const usersFile = join(dir, "users");
      await must("mosquitto_passwd", ["-b", "-c", usersFile, "press", "stamp"]);
      await must("mosquitto_passwd", ["-b", usersFile, "panel", "glass"]);
      const acl = [
        { user: "press", write: [`${BASE}/#`] },
        { user: "panel", read: ["$hw/#"] },
      ];
      await using bus = await MqttNode.start(dir, { usersFile, acl }, 2);
      const port = await bus.port();
      await using sub = await MosquittoSub.start(dir, {
        port,
        topics: ["$hw/#"],
        args: asUser("panel", "glass"),
      });
      const topic = `${BASE}/twin/update`;
      const press = asUser("press", "stamp");
      for (const args of [[], asUser("press", "wrong"), asUser("nobody", "stamp")]) {
        const { code, stderr } = await mosquittoPub(port, topic, update("bad", "1"), args);
        assert(code !== 0 && /not authori[sz]ed|bad user ?name/i.test(stderr), stderr);
      }
      assertEquals((await mosquittoPub(port, topic, update("good", "2"), press)).code, 0);
      assertEquals((await sub.next(`${topic}/result`)).event_id, "good");
      const other = `$hw/events/device/${NAMESPACE}/${deviceName(1)}/twin/update`;
      await mosquittoPub(port, other, update("far", "3"), press);
      const refused = await sub.next(`${other}/result`);
      assertEquals(refused.code, 403);
      await mosquittoPub(port, topic, update("mute", "4"), asUser("panel", "glass"));
      assertEquals((await sub.next(`${topic}/result`, ({ code }) => code === 403)).rule, "acl");
      // who is taken out of the file is out, without a restart
      await must("mosquitto_passwd", ["-D", usersFile, "press"]);
      assert((await mosquittoPub(port, topic, update("gone", "5"), press)).code !== 0);
      const { requests, dropped } = bus.room.counts();
      assertEquals(requests, { "twin_update 200": 1, "twin_update 403": 2 });
      assertEquals(dropped.unauthorized, 4);
    });
  },
);

testWith(
  ["mosquitto"],
  "MQTT outside: TLS, a certificate and a password of one's own",
  async () => {
    await inTemp(async (dir) => {
      const { server, client } = await makePapers(join(dir, "pki"));
      const users = join(dir, "users");
      await must("mosquitto_passwd", ["-b", "-c", users, "edge", "right"]);
      const port = freePort();
      const mosquitto = await startMosquitto(dir, port, [
        `cafile ${server.caFile}`,
        `certfile ${server.certFile}`,
        `keyfile ${server.keyFile}`,
        "require_certificate true",
        "allow_anonymous false",
        `password_file ${users}`,
      ]);
      const passwordFile = join(dir, "password");
      await Deno.writeTextFile(passwordFile, "wrong\n");
      const external = {
        url: `ssl://localhost:${port}`,
        username: "edge",
        passwordFile,
        ...client,
      };
      try {
        await using bus = await MqttNode.start(dir, { mode: "external", external }, 1);
        const down = await until(() => {
          const state = bus.room.status().external;
          return state?.state === "down" ? state : undefined;
        }, { what: "the refusal", timeoutMs: 30_000 });
        assert(/not authorized/i.test(down.problem), down.problem);
        await Deno.writeTextFile(passwordFile, "right\n");
        await until(() => bus.room.status().external?.state === "up", {
          what: "the right password is taken up",
          timeoutMs: 120_000,
        });
        const args = [...shown(client), ...asUser("edge", "right")];
        await using sub = await MosquittoSub.start(dir, { port, topics: ["$hw/#"], args });
        const topic = `${BASE}/twin/update`;
        assertEquals((await mosquittoPub(port, topic, update("out", "7"), args)).code, 0);
        assertEquals((await sub.next(`${topic}/result`)).event_id, "out");
      } finally {
        await mosquitto.stop();
      }
    });
  },
);

testWith(["mosquitto"], "MQTT outside: a broker of another CA is not talked to", async () => {
  await inTemp(async (dir) => {
    const { server } = await makePapers(join(dir, "pki"));
    const { caFile } = (await makePapers(join(dir, "other"))).server;
    const port = freePort();
    const mosquitto = await startMosquitto(dir, port, [
      `certfile ${server.certFile}`,
      `keyfile ${server.keyFile}`,
      "allow_anonymous true",
    ]);
    try {
      const external = { url: `mqtts://127.0.0.1:${port}`, caFile };
      await using bus = await MqttNode.start(dir, { mode: "external", external }, 1);
      const down = await until(() => {
        const state = bus.room.status().external;
        return state?.state === "down" ? state : undefined;
      }, { what: "the refusal", timeoutMs: 30_000 });
      assert(/certificate|issuer|signature/i.test(down.problem), down.problem);
    } finally {
      await mosquitto.stop();
    }
  });
});
