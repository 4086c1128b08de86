import { assert, assertEquals } from "@std/assert";
import { allMessages, findMessage, isLeafType, messageNamed } from "./message_table.ts";

Deno.test("every message named by a field stands in the tables", () => {
  for (const message of allMessages()) {
    for (const field of message.byNumber.values()) {
      assert(
        isLeafType(field.type) || findMessage(field.type),
        `${message.name}.${field.name}: ${field.type}`,
      );
    }
  }
});

Deno.test("no message uses a field number twice", () => {
  for (const message of allMessages()) {
    const singles = [...message.byNumber.values()];
    assertEquals(new Set(singles.map((field) => field.name)).size, singles.length, message.name);
  }
});

Deno.test("inlined messages give their fields to the message that holds them", () => {
  const volume = messageNamed("Volume");
  assertEquals(volume.fields.get("emptyDir")?.type, "EmptyDirVolumeSource");
  assertEquals(volume.fields.has("volumeSource"), false);
  assertEquals(messageNamed("Probe").fields.get("httpGet")?.type, "HTTPGetAction");
  assertEquals(messageNamed("EphemeralContainer").fields.get("image")?.number, 2);
});

Deno.test("types, shapes and flags are read", () => {
  const container = messageNamed("Container").fields;
  assertEquals(container.get("name")?.required, true);
  assertEquals(container.get("command"), {
    name: "command",
    number: 3,
    type: "string",
    shape: "list",
    keepZero: false,
    required: false,
    inline: false,
  } as unknown);
  assertEquals(messageNamed("ResourceRequirements").fields.get("limits")?.shape, "map");
  assertEquals(messageNamed("SecurityContext").fields.get("runAsUser")?.keepZero, true);
});
