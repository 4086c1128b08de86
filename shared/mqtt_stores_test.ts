import { assertEquals } from "@std/assert";
import mqtt from "mqtt";
import { lastingStores } from "./mqtt_stores.ts";

Deno.test("an acknowledgement behind the end of its client is looked up all the same", () => {
  const { outgoingStore } = lastingStores(mqtt.Store);
  const packet = { cmd: "publish", messageId: 1 } as const;
  outgoingStore.put(packet as never, () => {}); // only its id counts here
  outgoingStore.close(() => {});
  const found: (number | undefined)[] = [];
  outgoingStore.del({ messageId: 1 }, (error, gone) => found.push(error ? 0 : gone?.messageId));
  outgoingStore.del({ messageId: 2 }, (error, gone) => found.push(error ? 0 : gone?.messageId));
  assertEquals(found, [1, 0]);
});
