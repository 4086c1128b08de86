/**
 * Finds keys that stand twice in one object of a JSON text, which JSON.parse() hides. The text must
 * already have passed JSON.parse(). Iterative, one pass, memory bounded by the text: a hostile
 * nesting cannot exhaust the stack.
 */
interface Frame {
  /** Keys seen; undefined in an array. */
  keys: Set<string> | undefined;
  /** Path of the object or array. */
  path: string;
  /** Of an object: the key whose value is being read. Of an array: the index. */
  key: string;
  index: number;
  expectKey: boolean;
}

/** Paths of duplicate keys, "spec.containers[0].name", each once, at most `countMax`. */
export function duplicateKeys(text: string, countMax: number): string[] {
  const found = new Set<string>();
  const stack: Frame[] = [];
  let at = 0;
  while (at < text.length && found.size < countMax) {
    const char = text[at]!; // at < length
    const top = stack.at(-1);
    if (char === '"') {
      const end = endOfString(text, at);
      if (top?.keys && top.expectKey) noteKey(top, text.slice(at, end), found);
      at = end;
      continue;
    }
    if (char === "{" || char === "[") stack.push(newFrame(char, top));
    else if (char === "}" || char === "]") stack.pop();
    else if (char === "," && top) {
      top.index++;
      top.expectKey = true;
    } else if (char === ":" && top) top.expectKey = false;
    at++;
  }
  return [...found];
}

function newFrame(char: string, parent: Frame | undefined): Frame {
  return {
    keys: char === "{" ? new Set() : undefined,
    path: parent ? pathOfValue(parent) : "",
    key: "",
    index: 0,
    expectKey: true,
  };
}

function pathOfValue(frame: Frame): string {
  if (!frame.keys) return `${frame.path}[${frame.index}]`;
  return frame.path === "" ? frame.key : `${frame.path}.${frame.key}`;
}

function noteKey(frame: Frame, literal: string, found: Set<string>): void {
  frame.key = literal.includes("\\") ? String(JSON.parse(literal)) : literal.slice(1, -1);
  if (frame.keys?.has(frame.key)) found.add(pathOfValue(frame));
  frame.keys?.add(frame.key);
}

/** Index behind the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
