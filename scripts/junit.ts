/**
 * Reads what `deno test --junit-path` writes: how many passed, failed and were skipped, by name.
 * Pure.
 */

export interface Tally {
  passed: number;
  readonly failed: string[];
  readonly skipped: string[];
  /** Test files that failed at first and passed by themselves. */
  readonly unsteady?: readonly string[];
}

/** The cases of a JUnit report but those of `without`; undefined when `xml` is no whole report. */
export function readJunit(xml: string, without: readonly string[] = []): Tally | undefined {
  if (!xml.includes("</testsuites>")) return undefined;
  const tally: Tally = { passed: 0, failed: [], skipped: [] };
  for (const [file, suite] of suites(xml)) {
    if (without.includes(file)) continue;
    for (const [, attributes = "", body = ""] of suite.matchAll(CASE)) {
      const name = nameIn(attributes);
      if (FAILURE.test(body)) tally.failed.push(name);
      else if (/<skipped\b/.test(body)) tally.skipped.push(name);
      else tally.passed++;
    }
  }
  return tally;
}

/** The test files with a failed case. */
export function failedFiles(xml: string): string[] {
  return [...suites(xml)].filter(([, suite]) => FAILURE.test(suite)).map(([file]) => file);
}

function* suites(xml: string): Iterable<[file: string, suite: string]> {
  for (const [, attributes = "", suite = ""] of xml.matchAll(SUITE)) {
    yield [nameIn(attributes), suite];
  }
}

function nameIn(attributes: string): string {
  return decode(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? "");
}

const FAILURE = /<(failure|error)\b/;
const SUITE = /<testsuite\b((?:[^>"]|"[^"]*")*?)>([\s\S]*?)<\/testsuite>/g;
const CASE = /<testcase\b((?:[^>"]|"[^"]*")*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;

function decode(text: string): string {
  const names: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(#x?[0-9a-f]+|\w+);/gi, (whole, name: string) => {
    if (!name.startsWith("#")) return names[name] ?? whole;
    const hex = /^#x/i.test(name);
    return String.fromCodePoint(parseInt(name.slice(hex ? 2 : 1), hex ? 16 : 10));
  });
}

/** "12 passed, 0 failed, 1 skipped" over several tallies. */
export function closingLine(tallies: readonly Tally[]): string {
  const sum = (count: (tally: Tally) => number) =>
    tallies.reduce((total, tally) => total + count(tally), 0);
  const passed = sum((tally) => tally.passed);
  const failed = sum((tally) => tally.failed.length);
  const skipped = sum((tally) => tally.skipped.length);
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
