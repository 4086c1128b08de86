/**
 * The link cut for real: the edge lives in a network namespace of its own, and the cut is in the
 * kernel, so that neither side gets as much as a reset. Both must notice within two heartbeats, the
 * edge must go on, and the session must come back by itself once packets flow again.
 */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { HEARTBEAT_MS } from "../../shared/limits.ts";
import { type Child, must, run, startChild } from "../support/process.ts";
import { findPrograms } from "../support/programs.ts";
import { testWith } from "../support/requirements.ts";
import { CloudClient, conditionOf } from "../support/site_clients.ts";
import { until } from "../support/until.ts";

const NODE = "edge-1";
/** Two heartbeats, what session.ts allows a slow line, and a busy machine's share. */
const NOTICE_MS = 2 * HEARTBEAT_MS + 2_000 + 3_000;
/** The longest back-off, and the dial after it. */
const RETURN_MS = 60_000 + 20_000;

const clock = new SystemClock();
const programs = findPrograms();

/** A namespace with one wire to this machine. */
class Namespace implements AsyncDisposable {
  readonly name: string;
  readonly #outer: string;
  readonly #inner: string;
  readonly here: string;

  constructor() {
    const id = Deno.pid % 10_000;
    this.name = `skerry-cut-${id}`;
    this.#outer = `skc${id}o`;
    this.#inner = `skc${id}i`;
    const net = `10.${200 + (id % 50)}.${id % 250}`;
    this.here = `${net}.1`;
    this.#addresses = [`${net}.1/24`, `${net}.2/24`];
  }

  readonly #addresses: [string, string];

  async open(): Promise<this> {
    const [outer, inner] = this.#addresses;
    const ip = (...args: string[]) => must("ip", args);
    await ip("netns", "add", this.name);
    const peer = ["peer", "name", this.#inner, "netns", this.name];
    await ip("link", "add", this.#outer, "type", "veth", ...peer);
    await ip("addr", "add", outer, "dev", this.#outer);
    await ip("link", "set", this.#outer, "up");
    await ip("-n", this.name, "addr", "add", inner, "dev", this.#inner);
    await ip("-n", this.name, "link", "set", this.#inner, "up");
    await ip("-n", this.name, "link", "set", "lo", "up");
    return this;
  }

  /** A command line that runs inside. */
  inside(command: string, args: string[]): [string, string[]] {
    return ["ip", ["netns", "exec", this.name, command, ...args]];
  }

  /** Drops everything that comes in from the wire, and what would go out. */
  async drop(on: boolean): Promise<void> {
    for (const [chain, way] of [["INPUT", "-i"], ["OUTPUT", "-o"]] as const) {
      const rule = ["-w", on ? "-A" : "-D", chain, way, this.#inner, "-j", "DROP"];
      await must(...this.inside("iptables", rule));
    }
  }

  async wire(state: "up" | "down"): Promise<void> {
    await must("ip", ["link", "set", this.#outer, state]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run("ip", ["netns", "del", this.name]); // takes both ends of the wire along
  }
}

interface Ground {
  namespace: Namespace;
  cloud: CloudClient;
  api: string;
}

async function linkState({ namespace, api }: Ground): Promise<string> {
  const text = await must(...namespace.inside("curl", ["-s", "-m", "2", `${api}/v1/status`]));
  return JSON.parse(text).link.state;
}

async function hasSession({ cloud }: Ground): Promise<boolean> {
  const response = await fetch(`http://${cloud.listen.admin}/v1/sessions`);
  return (await response.text()).includes(`"${NODE}"`);
}

async function isLive(ground: Ground, timeoutMs: number): Promise<void> {
  const both = async () => await linkState(ground) === "live" && await hasSession(ground);
  await until(both, { what: "the session", timeoutMs, everyMs: 100 });
}

/** Cuts, sees both sides notice in time, heals, sees the session come back. */
async function cutAndHeal(
  ground: Ground,
  cut: () => Promise<void>,
  heal: () => Promise<void>,
): Promise<void> {
  await cut();
  const startMs = clock.monotonicMs();
  const noticed = { edge: 0, cloud: 0 };
  await until(async () => {
    const nowMs = clock.monotonicMs() - startMs;
    if (!noticed.edge && await linkState(ground) !== "live") noticed.edge = nowMs;
    if (!noticed.cloud && !await hasSession(ground)) noticed.cloud = nowMs;
    return noticed.edge > 0 && noticed.cloud > 0;
  }, { what: "both sides to notice", timeoutMs: NOTICE_MS, everyMs: 100 });
  assert(Math.max(noticed.edge, noticed.cloud) < NOTICE_MS);
  await until(async () => {
    const node = await ground.cloud.node(NODE);
    return conditionOf(node, "Ready")?.status === "Unknown";
  }, { what: "the node to be Unknown", timeoutMs: 30_000, everyMs: 100 });
  await heal();
  await isLive(ground, RETURN_MS);
  await until(async () => {
    const node = await ground.cloud.node(NODE);
    return conditionOf(node, "Ready")?.status !== "Unknown";
  }, { what: "the node's own word", timeoutMs: 30_000, everyMs: 100 });
}

async function onGround(work: (ground: Ground) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "skerry-cut-" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const namespace = stack.use(await new Namespace().open());
  const own = (child: Child) => {
    stack.defer(async () => void await child.stop());
    return child;
  };
  const [cloudDir, edgeDir] = [join(dir, "cloud"), join(dir, "edge")];
  const listen = ["--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const cloudChild = own(
    await startChild({
      name: "cloud",
      command: programs.cloud,
      args: ["run", "--data-dir", cloudDir, "--hub-listen", `${namespace.here}:0`, ...listen],
      logDir: dir,
    }),
  );
  const addresses = await cloudChild.waitForJson(join(cloudDir, "addresses.json"), 60_000);
  const cloud = await CloudClient.open(addresses, join(cloudDir, "admin.kubeconfig"));
  stack.defer(() => cloud.close());
  const token = (await must(programs.cloud, ["token", "create", "--data-dir", cloudDir])).trim();
  const joinArgs = [
    ["join", "--cloud", cloud.listen.hub, "--token", token, "--node-name", NODE, "--no-systemd"],
    ["--data-dir", edgeDir, "--pod-logs-dir", join(dir, "logs"), "--api-listen", "127.0.0.1:0"],
    ["--runtime-endpoint", `unix://${join(dir, "no-runtime.sock")}`],
  ].flat();
  await must(...namespace.inside(programs.edge, joinArgs));
  const [command, args] = namespace.inside(programs.edge, ["run", "--data-dir", edgeDir]);
  const edge = own(await startChild({ name: "edge", command, args, logDir: dir }));
  const found = Object(await edge.waitForJson(join(edgeDir, "addresses.json"), 60_000));
  const ground = { namespace, cloud, api: String(found.api) };
  try {
    await isLive(ground, 30_000);
    await work(ground);
  } catch (error) {
    console.error(await edge.tail(), await cloudChild.tail());
    throw error;
  }
}

testWith(
  ["root", "ip", "curl", "cni"],
  "a link cut in the kernel is noticed and healed",
  async (t) => {
    await onGround(async (ground) => {
      const { namespace } = ground;
      await t.step(
        "packets are dropped, both ways, without a word",
        () => cutAndHeal(ground, () => namespace.drop(true), () => namespace.drop(false)),
      );
      await t.step(
        "the wire is down",
        () => cutAndHeal(ground, () => namespace.wire("down"), () => namespace.wire("up")),
      );
      assertEquals(await linkState(ground), "live");
    });
  },
);
