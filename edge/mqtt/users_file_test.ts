import { assertEquals } from "@std/assert";
import { userNames, withoutUser, withUser } from "./users_file.ts";

const TEXT = "# people\nann:1\n\nbob:2\nann:3\n";

Deno.test("a user is added, changed in its place, or deleted; all else stays", () => {
  assertEquals(withUser("", "ann:x"), { text: "ann:x\n", done: "added" });
  assertEquals(withUser("bob:2", "ann:x"), { text: "bob:2\nann:x\n", done: "added" });
  assertEquals(withUser(TEXT, "ann:x"), {
    text: "# people\nann:x\n\nbob:2\n",
    done: "changed",
  });
  assertEquals(withoutUser(TEXT, "ann"), { text: "# people\n\nbob:2\n", done: "deleted" });
  assertEquals(withoutUser(TEXT, "# people"), undefined);
  assertEquals(withoutUser(TEXT, "an"), undefined);
  assertEquals(userNames(TEXT), ["ann", "bob", "ann"]);
});
