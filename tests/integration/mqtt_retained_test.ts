/** What the embedded broker retains, told to rooms of this program that ask for it. */
import { assertEquals } from "@std/assert";
import type { AppMessage } from "../../edge/mqtt/port.ts";
import { mosquittoPub, MqttNode } from "../support/mqtt.ts";
import { testWith } from "../support/requirements.ts";
import { until } from "../support/until.ts";

testWith(["mosquitto"], "MQTT: who subscribes within the node hears what is retained", async () => {
  const dir = await Deno.makeTempDir({ prefix: "skerry-retained-" });
  const heard = (node: MqttNode, filter: string, wantsRetained: boolean) => {
    const payloads: string[] = [];
    const take = ({ payload }: AppMessage) => {
      payloads.push(new TextDecoder().decode(payload));
      return Promise.resolve();
    };
    node.room.subscribe(filter, take, { wantsRetained });
    return payloads;
  };
  try {
    {
      await using node = await MqttNode.start(dir, {});
      const port = await node.port();
      await mosquittoPub(port, "lamp/level", "7", ["-r", "-q", "1"]);
      const [asked, other] = [heard(node, "lamp/+", true), heard(node, "lamp/+", false)];
      await until(() => asked.length === 1, { what: "the retained message" });
      await mosquittoPub(port, "lamp/level", "8", ["-r", "-q", "1"]);
      await until(() => asked.length === 2, { what: "the next message" });
      assertEquals([asked, other], [["7", "8"], ["8"]]);
    }
    // of an earlier run, to one who subscribed before the broker was there
    await using node = await MqttNode.start(dir, {});
    const asked = heard(node, "lamp/#", true);
    await until(() => asked.length === 1, { what: "the message retained on disk" });
    assertEquals(asked, ["8"]);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
