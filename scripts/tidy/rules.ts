/**
 * The house numbers that can be read off a file: lengths, columns, parameters, `any`, TODO format,
 * machine paths and registry hosts, README headings. Pure: text or syntax tree in, faults out.
 */
import ts from "typescript";

export interface Fault {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

export const HOUSE = {
  sourceLinesMax: 500,
  testLinesMax: 800,
  functionLinesMax: 70,
  columnsMax: 100,
  parametersMax: 5,
  readmeLinesMax: 60,
} as const;

export const README_HEADINGS = [
  "Role",
  "Owns",
  "Does not own",
  "Talks to",
  "Invariants",
  "State diagram",
  "How to test",
  "Known limits",
] as const;

/** Hosts of package registries: nothing tracked may depend on where packages came from. */
const REGISTRY_HOST =
  /registry\.(npmjs\.org|yarnpkg\.com)|\bjsr\.io|\bpypi\.org|pythonhosted\.org|proxy\.golang\.org/;

export function isTest(path: string): boolean {
  return /_(test|suite)\.ts$/.test(path) || path.startsWith("tests/");
}

/** Lengths, columns and TODOs of a TypeScript or shell file. */
export function checkLines(path: string, text: string): Fault[] {
  const lines = text.split("\n");
  const faults: Fault[] = [];
  const count = lines.at(-1) === "" ? lines.length - 1 : lines.length;
  const linesMax = isTest(path) ? HOUSE.testLinesMax : HOUSE.sourceLinesMax;
  if (count > linesMax) {
    faults.push({ path, line: 1, rule: "file-lines", message: `${count} lines, <= ${linesMax}` });
  }
  for (const [index, line] of lines.entries()) {
    const columns = [...line].length;
    if (columns > HOUSE.columnsMax && !/https?:\/\/\S+/.test(line)) {
      const message = `${columns} columns, <= ${HOUSE.columnsMax}`;
      faults.push({ path, line: index + 1, rule: "columns", message });
    }
    const todo = /(?:\/\/|\/?\*+|#)\s*(TODO|FIXME|XXX|HACK)\b(\((?:@[\w-]+|#\d+)\))?/.exec(line);
    if (todo && (todo[1] !== "TODO" || !todo[2])) {
      const message = `${todo[1]} must be TODO(@name) or TODO(#issue)`;
      faults.push({ path, line: index + 1, rule: "todo", message });
    }
  }
  return faults;
}

/** Paths of this machine and hosts of registries, in any tracked text. */
export function checkStrangers(
  path: string,
  text: string,
  machinePaths: readonly string[],
): Fault[] {
  const faults: Fault[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const host = REGISTRY_HOST.exec(line);
    if (host) {
      const message = `names the registry ${host[0]}`;
      faults.push({ path, line: index + 1, rule: "registry-host", message });
    }
    const machine = machinePaths.find((prefix) => line.includes(prefix));
    if (machine) {
      const message = `names a path of this machine: ${machine}`;
      faults.push({ path, line: index + 1, rule: "machine-path", message });
    }
  }
  return faults;
}

/** A room's README: there, short, with the fixed headings in order. */
export function checkReadme(path: string, text: string | undefined): Fault[] {
  if (text === undefined) {
    return [{ path, line: 1, rule: "readme", message: "is missing" }];
  }
  const faults: Fault[] = [];
  const headings = [...text.matchAll(/^## (.+?)\s*$/gm)].map((match) => match[1]);
  const missing = README_HEADINGS.filter((heading) => !headings.includes(heading));
  if (missing.length > 0) {
    const message = `lacks the headings ${missing.map((name) => `"## ${name}"`).join(", ")}`;
    faults.push({ path, line: 1, rule: "readme", message });
  }
  const count = text.trimEnd().split("\n").length;
  if (count > HOUSE.readmeLinesMax) {
    const message = `${count} lines, <= ${HOUSE.readmeLinesMax}`;
    faults.push({ path, line: 1, rule: "readme", message });
  }
  return faults;
}

/** Function lengths, parameter counts and `any`, from the syntax tree. */
export function checkSyntax(path: string, file: ts.SourceFile): Fault[] {
  const faults: Fault[] = [];
  const lineOf = (position: number) => file.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.AnyKeyword) {
      const line = lineOf(node.getStart(file));
      faults.push({ path, line, rule: "no-any", message: "any: say unknown and parse it" });
    }
    if (ts.isFunctionLike(node) && "body" in node && node.body) {
      const line = lineOf(node.getStart(file));
      const length = ownLines(node, file, isTest(path));
      if (length > HOUSE.functionLinesMax) {
        const message = `function of ${length} lines, <= ${HOUSE.functionLinesMax}`;
        faults.push({ path, line, rule: "function-lines", message });
      }
      if (node.parameters.length > HOUSE.parametersMax) {
        const message = `${node.parameters.length} parameters, <= ${HOUSE.parametersMax}`;
        faults.push({ path, line, rule: "parameters", message });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return faults;
}

/** Lines of a function; in tests without the functions in it (a suite holds many cases). */
function ownLines(node: ts.Node, file: ts.SourceFile, withoutInner: boolean): number {
  const span = (inner: ts.Node) =>
    file.getLineAndCharacterOfPosition(inner.getEnd()).line -
    file.getLineAndCharacterOfPosition(inner.getStart(file)).line;
  let lines = span(node) + 1;
  if (!withoutInner) return lines;
  const visit = (inner: ts.Node): void => {
    if (ts.isFunctionLike(inner)) lines -= span(inner);
    else ts.forEachChild(inner, visit);
  };
  ts.forEachChild(node, visit);
  return lines;
}
