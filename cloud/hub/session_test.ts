import { assert, assertEquals, assertRejects } from "@std/assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  type Frame,
  HelloSchema,
  type SessionRequest,
  SessionRequestSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { inventoryDigest } from "../../shared/wire/desired.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import { TrafficCounters } from "../../shared/wire/traffic.ts";
import type { DesiredSource, TunnelEnd } from "./port.ts";
import { NodeSession } from "./session.ts";

const HEARTBEAT_MS = 10_000;

const NOTHING: DesiredSource = {
  cloudId: "c1",
  projection: () => ({ generation: 0, digest: inventoryDigest([]), items: new Map() }),
  subscribe: () => () => {},
  acknowledged: () => Promise.resolve(),
};

class FakeTunnel implements TunnelEnd {
  readonly frames: AsyncIterable<Frame> = new Outgoing<Frame>({ urgentMax: 1 });
  streams = 0;
  closed: AppError | undefined;

  run(): Promise<void> {
    return Promise.resolve();
  }

  fetch(): Promise<Response> {
    return Promise.resolve(new Response());
  }

  close(error: AppError): void {
    this.closed = error;
  }
}

type Word = NonNullable<MessageInitShape<typeof SessionRequestSchema>["message"]>;

/** A live session whose node says what the test says, and whose words are counted. */
async function withSession(
  work: (of: {
    session: NodeSession;
    clock: SimClock;
    beat: () => Promise<void>;
    asked: () => number;
    say: (message: Word) => void;
    said: readonly (string | undefined)[];
  }) => Promise<void>,
): Promise<void> {
  const clock = new SimClock();
  const requests = new Outgoing<SessionRequest>({ urgentMax: 100 });
  const session = new NodeSession({
    node: "n1",
    keyHash: "k",
    peer: { certificate: undefined, address: "a", reset: () => {} },
    hello: create(HelloSchema, { instanceId: "i", digest: inventoryDigest([]) }),
    heartbeatMs: HEARTBEAT_MS,
    source: NOTHING,
    sink: { apply: () => Promise.resolve({ kind: "applied" }) },
    traffic: new TrafficCounters(),
    clock,
    random: new SeededRandom(1),
  });
  const said: (string | undefined)[] = [];
  const reading = (async () => {
    for await (const { message } of session.outgoing) said.push(message.case);
  })();
  const done = session.run(requests);
  const say = (message: Word) => requests.send(create(SessionRequestSchema, { message }));
  const beat = async () => {
    const before = said.length;
    await clock.advance(HEARTBEAT_MS);
    say({ case: "heartbeat", value: { counter: 1n } });
    await clock.until(() => said.length > before, { what: "an answer" });
  };
  try {
    await clock.until(() => said.includes("welcome"), { what: "the welcome" });
    const asked = () => said.filter((s) => s === "openTunnel").length;
    await work({ session, clock, beat, asked, say, said });
  } finally {
    requests.end();
    await done;
    await reading;
  }
}

Deno.test("a tunnel nobody uses is closed after two minutes, and asked for again", async () => {
  await withSession(async ({ session, beat, asked }) => {
    const tunnel = new FakeTunnel();
    session.attachTunnel(tunnel);
    for (let i = 0; i < 11; i++) await beat();
    assertEquals([tunnel.closed, session.tunnel], [undefined, tunnel]);
    await beat();
    assertEquals([tunnel.closed?.message, session.tunnel], ["Nobody uses the tunnel", undefined]);
    const wanted = session.whenTunnel(new AbortController().signal);
    await beat();
    assertEquals(asked(), 1);
    const next = new FakeTunnel();
    session.attachTunnel(next);
    assertEquals(await wanted, next);
  });
});

Deno.test("a tunnel with a stream in it stays, however long the stream is silent", async () => {
  await withSession(async ({ session, beat }) => {
    const tunnel = new FakeTunnel();
    session.attachTunnel(tunnel);
    tunnel.streams = 1;
    for (let i = 0; i < 40; i++) await beat();
    assertEquals(session.tunnel, tunnel);
    tunnel.streams = 0;
    for (let i = 0; i < 13; i++) await beat();
    assert(tunnel.closed);
  });
});

Deno.test("who waits for a tunnel is told when the session ends", async () => {
  let wanted: Promise<TunnelEnd> | undefined;
  await withSession(async ({ session, beat }) => {
    await beat();
    wanted = session.whenTunnel(new AbortController().signal);
    void wanted.catch(() => {}); // looked at below
  });
  await assertRejects(() => wanted!, AppError, "it opens no tunnel");
});

for (const word of ["desiredAck", "inventory"] as const) {
  Deno.test(`a generation that none could follow ends the session: ${word}`, async () => {
    await withSession(async ({ clock, say, said }) => {
      say({ case: word, value: { generation: 2n ** 64n - 1n } });
      await clock.until(() => said.includes("goAway"), { what: "the end" });
    });
  });
}
