/**
 * Who may import whom, as data, and the pure functions that read it. `lint_boundaries.ts` turns the
 * verdicts into lint diagnostics. A pattern is a path from the top of the checkout: `*` stands for
 * one segment or a part of it, `**` for any number of segments, `{room}` for one segment that must
 * be the same on both sides of a row.
 */

export interface Door {
  readonly from: string;
  readonly may: readonly string[];
  readonly why: string;
}

/** The first row whose `from` matches the importing file decides; bare package names are free. */
export const DOORS: readonly Door[] = [
  { from: "tests/**", may: ["**"], why: "tests hold everything together" },
  {
    from: "scripts/**",
    may: [
      "scripts/**",
      "shared/**",
      "tests/support/**",
      "tests/sim/**",
      "edge/*.ts",
      "cloud/*.ts",
    ],
    why: "tools use shared/, the test support, the simulation and the two composition roots",
  },
  {
    from: "edge/**/*_test.ts",
    may: ["edge/**", "shared/**", "tests/support/**"],
    why: "unit tests of the edge may build any adapter of the edge, never of the cloud",
  },
  {
    from: "cloud/**/*_test.ts",
    may: ["cloud/**", "shared/**", "tests/support/**"],
    why: "unit tests of the cloud may build any adapter of the cloud, never of the edge",
  },
  {
    from: "edge/**/testing.ts",
    may: ["edge/**", "shared/**", "tests/support/**"],
    why: "a room's test helpers may build what its tests may",
  },
  {
    from: "edge/*.ts",
    may: ["edge/**", "shared/**"],
    why: "main.ts, app.ts and what they are split into compose the edge",
  },
  {
    from: "cloud/**/testing.ts",
    may: ["cloud/**", "shared/**", "tests/support/**"],
    why: "a room's test helpers may build what its tests may",
  },
  {
    from: "cloud/*.ts",
    may: ["cloud/**", "shared/**"],
    why: "main.ts, app.ts and what they are split into compose the cloud",
  },
  {
    from: "edge/cli/**",
    may: ["edge/**", "shared/**"],
    why: "a command composes what it needs, as app.ts does for `run`",
  },
  {
    from: "cloud/cli/**",
    may: ["cloud/**", "shared/**"],
    why: "a command composes what it needs, as app.ts does for `run`",
  },
  {
    from: "edge/{room}/**",
    may: ["edge/{room}/**", "edge/*/port.ts", "edge/config.ts", "shared/**"],
    why: "rooms meet through ports and are wired in edge/app.ts",
  },
  {
    from: "cloud/{room}/**",
    may: ["cloud/{room}/**", "cloud/*/port.ts", "cloud/config.ts", "shared/**"],
    why: "rooms meet through ports and are wired in cloud/app.ts",
  },
  { from: "shared/**", may: ["shared/**"], why: "shared/ knows neither side" },
];

/** Files that decide and never act: no await, and none of PURE_BANNED at run time. */
export const PURE_FILES: readonly string[] = [
  "edge/pods/plan.ts",
  "edge/pods/plan_*.ts",
  "edge/pods/plan/**",
  "edge/pods/to_cri.ts",
  "edge/pods/to_cri_*.ts",
  "edge/pods/to_cri/**",
  "edge/pods/status.ts",
  "edge/pods/status_*.ts",
  "edge/pods/status/**",
  "edge/meta/judge.ts",
  "edge/twins/decide.ts",
  "edge/twins/evolve.ts",
  "edge/twins/versions.ts",
  "cloud/controllers/project_node.ts",
  "cloud/controllers/project_node/**",
];

export const PURE_BANNED: readonly string[] = [
  "**/port.ts",
  "shared/clock.ts",
  "shared/random.ts",
  "shared/log.ts",
  "shared/async/**",
  "@logtape/**",
  "node:*",
];

/** Pure formatters that live beside something impure; pure files may name these. */
export const PURE_NAMES: Readonly<Record<string, readonly string[]>> = {
  "shared/clock.ts": ["toTime", "toMicroTime"],
};

/** Files that may touch the real clock and dice. Others say so line by line, with a reason. */
export const AMBIENT_FILES: readonly string[] = ["shared/clock.ts", "shared/random.ts"];

/** Files that may say `using`: they never go through the bundler (see scripts/README.md). */
export const USING_FILES: readonly string[] = [
  "tests/**",
  "scripts/**",
  "**/*_test.ts",
  "**/*_suite.ts",
  "**/testing/**",
];

/** Files that may `export *`: the typed doors to packages that ship no types. */
export const BARREL_FILES: readonly string[] = ["shared/types/**"];

/** Files that may have a default export: the lint runner asks plugins for one. */
export const DEFAULT_EXPORT_FILES: readonly string[] = ["scripts/lint_boundaries.ts"];

/** Files that may name a package with its registry prefix instead of through the import map. */
export const SPECIFIER_FILES: readonly string[] = ["shared/types/**"];

export function matchesAny(path: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matchPattern(pattern, path) !== undefined);
}

/** The bindings of `{name}` placeholders when `path` matches `pattern`, else undefined. */
export function matchPattern(pattern: string, path: string): Record<string, string> | undefined {
  const source = pattern.replace(
    /\*\*\/|\*\*|\*|\{(\w+)\}|[.+^$()|[\]\\]/g,
    (token, name?: string) => {
      if (name) return `(?<${name}>[^/]+)`;
      if (token === "**/") return "(?:.*/)?";
      if (token === "**") return ".*";
      return token === "*" ? "[^/]*" : `\\${token}`;
    },
  );
  const match = new RegExp(`^${source}$`).exec(path);
  return match ? { ...match.groups } : undefined;
}

/** Why `from` may not import `to` (paths from the top), or undefined when it may. */
export function importFault(from: string, to: string): string | undefined {
  for (const door of DOORS) {
    const bindings = matchPattern(door.from, from);
    if (!bindings) continue;
    const may = door.may.map((pattern) =>
      pattern.replace(/\{(\w+)\}/g, (whole, name) => bindings[name] ?? whole)
    );
    return matchesAny(to, may) ? undefined : `${from} may not import ${to}: ${door.why}`;
  }
  return undefined;
}

/** The path `specifier` names, from the top of the checkout, when it is relative; else itself. */
export function resolveSpecifier(from: string, specifier: string): string {
  if (!specifier.startsWith("./") && !specifier.startsWith("../")) return specifier;
  const parts = from.split("/").slice(0, -1);
  for (const segment of specifier.split("/")) {
    if (segment === "..") parts.pop();
    else if (segment !== ".") parts.push(segment);
  }
  return parts.join("/");
}

/** Which of the run-time `names` imported from `target` a pure file may not have. */
export function impureNames(target: string, names: readonly string[]): string[] {
  if (!matchesAny(target, PURE_BANNED)) return [];
  const allowed = PURE_NAMES[target] ?? [];
  return names.filter((name) => !allowed.includes(name));
}
