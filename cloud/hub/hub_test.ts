import { assertEquals } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  HelloSchema,
  type SessionRequest,
  SessionRequestSchema,
} from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import { SeededRandom } from "../../shared/random.ts";
import { SimClock } from "../../shared/testing/sim_clock.ts";
import { inventoryDigest } from "../../shared/wire/desired.ts";
import { Outgoing } from "../../shared/wire/outgoing.ts";
import { Hub } from "./hub.ts";
import type { DesiredSource } from "./port.ts";

Deno.test("a session that cannot begin ends its call, and nothing else", async () => {
  let reads = 0;
  const source: DesiredSource = {
    /** As of a cloud whose store is closed while a node comes: the first look is still answered. */
    get cloudId(): string {
      if (reads++ === 0) return "c1";
      throw new AppError("unavailable", "Cannot read from store: it is closed");
    },
    projection: () => ({ generation: 0, digest: inventoryDigest([]), items: new Map() }),
    subscribe: () => () => {},
    acknowledged: () => Promise.resolve(),
  };
  const identify = () => Promise.resolve({ node: "n1", keyHash: "k" });
  const hub = new Hub({
    identities: { identify } as never, // all that is asked
    source,
    sink: { apply: () => Promise.resolve({ kind: "applied" }) },
    openTunnel: () => {
      throw new AppError("internal", "nobody asks for a tunnel");
    },
    clock: new SimClock(),
    random: new SeededRandom(1),
  });
  const requests = new Outgoing<SessionRequest>({ urgentMax: 10 });
  const hello = create(HelloSchema, {
    protocolVersion: 1,
    instanceId: "i",
    digest: inventoryDigest([]),
  });
  requests.send(create(SessionRequestSchema, { message: { case: "hello", value: hello } }));
  const peer = { certificate: "shown" as never, address: "a", reset: () => {} }; // not looked at
  const said: (string | undefined)[] = [];
  for await (const { message } of await hub.openSession(requests, peer)) said.push(message.case);
  await hub.joined();
  assertEquals(said, ["goAway"]);
  assertEquals(hub.sessions.get("n1"), undefined);
});
