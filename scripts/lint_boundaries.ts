/**
 * The house's lint plugin. `import-direction` reads the table in boundaries.ts; `pure-files` keeps
 * deciders free of ports, clocks, loggers and awaits; `injected-time` keeps the wall clock, timers
 * and dice in shared/clock.ts and shared/random.ts; `plain-modules` bans default exports, barrels
 * and packages named past the import map. Where a test must poll or measure for real, it says so on
 * the line: `// deno-lint-ignore skerry/injected-time -- reason`.
 */
import {
  AMBIENT_FILES,
  BARREL_FILES,
  DEFAULT_EXPORT_FILES,
  importFault,
  impureNames,
  matchesAny,
  PURE_FILES,
  resolveSpecifier,
  SPECIFIER_FILES,
  USING_FILES,
} from "./boundaries.ts";

type Importing =
  | Deno.lint.ImportDeclaration
  | Deno.lint.ExportNamedDeclaration
  | Deno.lint.ExportAllDeclaration;

const ROOT = decodeURIComponent(new URL("../", import.meta.url).pathname);

/** Member calls and reads that reach for ambient time or randomness. */
const AMBIENT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  Date: ["now"],
  Math: ["random"],
  crypto: ["randomUUID", "getRandomValues"],
  performance: ["now"],
};
const AMBIENT_CALLS = ["setTimeout", "setInterval"];
const GLOBALS = ["globalThis", "self", "window"];

function pathOf(ctx: Deno.lint.RuleContext): string {
  return ctx.filename.startsWith(ROOT) ? ctx.filename.slice(ROOT.length) : ctx.filename;
}

/** Names a declaration brings in at run time; a bare or star import counts as "*". */
function runtimeNames(node: Importing): string[] {
  if (node.type === "ExportAllDeclaration") return node.exportKind === "type" ? [] : ["*"];
  const kind = node.type === "ImportDeclaration" ? node.importKind : node.exportKind;
  if (kind === "type") return [];
  if (node.specifiers.length === 0) return ["*"];
  return node.specifiers.flatMap((specifier) => {
    if (specifier.type === "ImportSpecifier") {
      if (specifier.importKind === "type") return [];
      return specifier.imported.type === "Identifier" ? [specifier.imported.name] : ["*"];
    }
    if (specifier.type === "ExportSpecifier") {
      if (specifier.exportKind === "type") return [];
      return specifier.local.type === "Identifier" ? [specifier.local.name] : ["*"];
    }
    return ["*"];
  });
}

/** Calls `check` for each static and dynamic import of the file, with the path it names. */
function eachImport(
  path: string,
  check: (node: Deno.lint.Node, target: string, names: string[]) => void,
): Deno.lint.LintVisitor {
  const visit = (node: Importing) => {
    if (!node.source) return;
    check(node, resolveSpecifier(path, String(node.source.value)), runtimeNames(node));
  };
  return {
    ImportDeclaration: visit,
    ExportNamedDeclaration: visit,
    ExportAllDeclaration: visit,
    ImportExpression(node) {
      if (node.source.type !== "Literal") return;
      check(node, resolveSpecifier(path, String(node.source.value)), ["*"]);
    },
  };
}

const importDirection: Deno.lint.Rule = {
  create(ctx) {
    const path = pathOf(ctx);
    return eachImport(path, (node, target) => {
      const message = importFault(path, target);
      if (target.endsWith(".ts") && message) {
        ctx.report({ node, message, hint: "The table is in scripts/boundaries.ts" });
      }
    });
  },
};

const pureFiles: Deno.lint.Rule = {
  create(ctx) {
    const path = pathOf(ctx);
    if (!matchesAny(path, PURE_FILES)) return {};
    return {
      ...eachImport(path, (node, target, names) => {
        const impure = impureNames(target, names);
        if (impure.length === 0) return;
        ctx.report({
          node,
          message: `${path} decides and may not import ${impure.join(", ")} from ${target}`,
          hint: "Import the type only, or take the value as an argument",
        });
      }),
      AwaitExpression(node) {
        ctx.report({ node, message: `${path} decides and may not await` });
      },
    };
  },
};

/** What ambient thing `node` reaches for: "Date.now", "setTimeout" ..., or undefined. */
function ambientName(node: Deno.lint.CallExpression | Deno.lint.MemberExpression) {
  if (node.type === "CallExpression") {
    const callee = node.callee;
    if (callee.type !== "Identifier") return undefined;
    return AMBIENT_CALLS.find((name) => name === callee.name);
  }
  if (node.property.type !== "Identifier" || node.computed) return undefined;
  const property = node.property.name;
  let owner = node.object;
  if (owner.type === "MemberExpression" && owner.object.type === "Identifier") {
    if (GLOBALS.includes(owner.object.name)) owner = owner.property as Deno.lint.Identifier; // a.b
  }
  if (owner.type !== "Identifier") return undefined;
  if (GLOBALS.includes(owner.name)) return AMBIENT_CALLS.find((name) => name === property);
  if (!Object.hasOwn(AMBIENT_MEMBERS, owner.name)) return undefined;
  return AMBIENT_MEMBERS[owner.name]?.includes(property) ? `${owner.name}.${property}` : undefined;
}

const injectedTime: Deno.lint.Rule = {
  create(ctx) {
    const path = pathOf(ctx);
    if (matchesAny(path, AMBIENT_FILES)) return {};
    const report = (node: Deno.lint.Node, name: string) =>
      ctx.report({
        node,
        message: `${name} is ambient: take a Clock or a Random`,
        hint: "shared/clock.ts and shared/random.ts are the only doors to time and chance",
      });
    const visit = (node: Deno.lint.CallExpression | Deno.lint.MemberExpression) => {
      const name = ambientName(node);
      if (name) report(node, name);
    };
    return {
      CallExpression: visit,
      MemberExpression: visit,
      NewExpression(node) {
        const isDate = node.callee.type === "Identifier" && node.callee.name === "Date";
        if (isDate && node.arguments.length === 0) report(node, "new Date()");
      },
      ImportDeclaration(node) {
        if (/^node:timers(\/|$)/.test(String(node.source.value))) report(node, "node:timers");
      },
    };
  },
};

const plainModules: Deno.lint.Rule = {
  create(ctx) {
    const path = pathOf(ctx);
    return {
      ...eachImport(path, (node, target) => {
        const direct = /^(npm|jsr|https?):/.test(target);
        if (direct && !matchesAny(path, SPECIFIER_FILES)) {
          ctx.report({ node, message: `${target} must be named through the import map` });
        }
        const star = node.type === "ExportAllDeclaration";
        if (star && !matchesAny(path, BARREL_FILES)) {
          ctx.report({ node, message: "export * makes a barrel: export names, one by one" });
        }
      }),
      ExportDefaultDeclaration(node) {
        if (matchesAny(path, DEFAULT_EXPORT_FILES)) return;
        ctx.report({ node, message: "No default exports: give it a name" });
      },
    };
  },
};

/**
 * The minifier of `deno bundle` (Deno 2.9.4) puts a variable that is read once in the place where
 * it is read, also a `using` one, and disposal is lost with the declaration. Only compiled programs
 * suffer, so no test from source would see it.
 */
const noUsing: Deno.lint.Rule = {
  create(ctx) {
    if (matchesAny(pathOf(ctx), USING_FILES)) return {};
    return {
      VariableDeclaration(node) {
        if (node.kind !== "using" && node.kind !== "await using") return;
        ctx.report({ node, message: "The bundler's minifier loses `using`: use try and finally" });
      },
    };
  },
};

const plugin: Deno.lint.Plugin = {
  name: "skerry",
  rules: {
    "import-direction": importDirection,
    "pure-files": pureFiles,
    "injected-time": injectedTime,
    "plain-modules": plainModules,
    "no-using": noUsing,
  },
};
export default plugin;
