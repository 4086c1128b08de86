/**
 * Edits the text of a users file: one line a user, everything else stays as it is (comments, the
 * order, lines somebody else's program wrote). Pure but for the hash, which `formatUser` makes.
 */

export type UserEdit = { text: string; done: "added" | "changed" | "deleted" } | undefined;

/** Puts `line` ("name:hash") in the place of the user's, or at the end. */
export function withUser(text: string, line: string): NonNullable<UserEdit> {
  const name = nameOf(line);
  const lines = linesOf(text);
  const at = lines.findIndex((each) => nameOf(each) === name);
  // of several lines the last would count: one is left
  const others = lines.filter((each, index) => index === at || nameOf(each) !== name);
  if (at < 0) return { text: joined([...lines, line]), done: "added" };
  others[others.findIndex((each) => nameOf(each) === name)] = line;
  return { text: joined(others), done: "changed" };
}

/** Undefined when there is no such user. */
export function withoutUser(text: string, name: string): UserEdit {
  const lines = linesOf(text);
  const others = lines.filter((each) => nameOf(each) !== name);
  if (others.length === lines.length) return undefined;
  return { text: joined(others), done: "deleted" };
}

export function userNames(text: string): string[] {
  return linesOf(text).flatMap((line) => nameOf(line) ?? []);
}

function nameOf(line: string): string | undefined {
  const trimmed = line.trim();
  const colon = trimmed.indexOf(":");
  return trimmed.startsWith("#") || colon < 1 ? undefined : trimmed.slice(0, colon);
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
