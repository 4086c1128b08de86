import { assert, assertEquals, assertThrows } from "@std/assert";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  DesiredBatchSchema,
  DesiredRejectReason,
  type SessionRequest,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { encodeBody } from "../../shared/wire/codec.ts";
import type { DesiredBatch } from "../../shared/wire/desired.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import type { Verdict } from "../meta/port.ts";
import { Inbound } from "./inbound.ts";
import type { LinkLedger } from "./port.ts";

function setUp(verdict: () => Promise<Verdict> = () => Promise.resolve({ kind: "commit" })) {
  const accepted: DesiredBatch[] = [];
  const ledger: LinkLedger = {
    head: { cloudId: "c", generation: 3, digest: "d3" },
    inventory: () => [{ key: "pods/d/a", uid: "u", resourceVersion: "1" }],
    accept: (batch) => {
      accepted.push(batch);
      return verdict();
    },
  };
  const outgoing = new Outgoing<SessionRequest>({ urgentMax: 10 });
  const inbound = new Inbound({ ledger, outgoing });
  const stop = new AbortController();
  const done = inbound.run(stop.signal).catch(() => {}); // ends by abort
  const requests = outgoing[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await requests.next();
    assert(value);
    return value.message;
  };
  const end = async () => {
    stop.abort();
    await done;
  };
  return { inbound, accepted, next, end };
}

function part(init: MessageInitShape<typeof DesiredBatchSchema>) {
  return create(DesiredBatchSchema, {
    cloudId: "c",
    base: 3n,
    generation: 4n,
    digest: "d4",
    ...init,
  });
}

function upsert(name: string) {
  const object = encodeBody({ metadata: { name } });
  return { key: `pods/d/${name}`, uid: "u", resourceVersion: "1", object };
}

Deno.test("Inbound joins parts and acknowledges once the ledger has committed", async () => {
  const { inbound, accepted, next, end } = setUp();
  inbound.receive(part({ upserts: [upsert("a")], deletes: ["pods/d/x"], more: true }));
  inbound.receive(part({ upserts: [upsert("b")] }));
  const message = await next();
  assert(message.case === "desiredAck");
  assertEquals([message.value.generation, message.value.digest], [4n, "d4"]);
  assertEquals(accepted[0]?.upserts.map((u) => u.key), ["pods/d/a", "pods/d/b"]);
  assertEquals(accepted[0]?.deletes, ["pods/d/x"]);
  await end();
});

const refusals: [string, Parameters<typeof part>[0], Verdict | Error, DesiredRejectReason][] = [
  ["a base it does not hold", { base: 2n }, { kind: "commit" }, DesiredRejectReason.CONFLICT],
  [
    "what the ledger calls stale",
    {},
    { kind: "reject", reason: "stale" },
    DesiredRejectReason.STALE,
  ],
  ["what cannot be stored", {}, new Error("disk full"), DesiredRejectReason.NOT_STORED],
  [
    "an object it cannot read",
    { upserts: [{ ...upsert("a"), object: encodeBody(5) }] },
    { kind: "commit" },
    DesiredRejectReason.NOT_STORED,
  ],
];

for (const [name, init, verdict, reason] of refusals) {
  Deno.test(`Inbound refuses ${name}`, async () => {
    const { inbound, next, end } = setUp(() =>
      verdict instanceof Error ? Promise.reject(verdict) : Promise.resolve(verdict)
    );
    inbound.receive(part(init));
    const message = await next();
    assert(message.case === "desiredReject");
    assertEquals(message.value.reason, reason);
    await end();
  });
}

Deno.test("Inbound sends its inventory after what came before it was handled", async () => {
  const { inbound, next, end } = setUp();
  inbound.receive(part({}));
  inbound.requestInventory();
  assertEquals((await next()).case, "desiredAck");
  const message = await next();
  assert(message.case === "inventory");
  assertEquals(message.value.entries.map((e) => e.key), ["pods/d/a"]);
  assertEquals([message.value.more, message.value.generation], [false, 3n]);
  await end();
});

Deno.test("Inbound refuses a step that ends without its last part", async () => {
  const { inbound, end } = setUp();
  inbound.receive(part({ more: true }));
  assertThrows(() => inbound.receive(part({ generation: 5n })), AppError, "without its last part");
  await end();
});

Deno.test("Inbound bounds a step of many parts, whatever is in them", async () => {
  const { inbound, end } = setUp();
  const deletes = Array.from({ length: 200_000 }, (_, i) => `pods/d/${i}`.padEnd(100, "x"));
  assertThrows(
    () => {
      for (let i = 0; i < 100; i++) inbound.receive(part({ deletes, more: true }));
    },
    AppError,
    "more than 67108864 bytes",
  );
  await end();
});

Deno.test("Inbound refuses a generation that none could follow", async () => {
  const { inbound, accepted, end } = setUp();
  const last = part({ generation: 2n ** 64n - 1n });
  assertThrows(() => inbound.receive(last), AppError, "generation 18446744073709551615 is none");
  assertEquals(accepted, []);
  await end();
});
