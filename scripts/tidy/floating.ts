/**
 * Promises nobody waits for, found by type: an expression statement whose value is a promise (or
 * an array of them), and an async function handed over where its promise is thrown away (a callback
 * that returns void). Await it, give it to a TaskScope, or write `void x.catch(...)` with a reason.
 */
import ts from "typescript";
import type { Fault } from "./rules.ts";

export function checkFloating(path: string, file: ts.SourceFile, checker: ts.TypeChecker): Fault[] {
  const faults: Fault[] = [];
  const report = (node: ts.Node, message: string) => {
    const line = file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
    faults.push({ path, line, rule: "floating-promise", message });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isExpressionStatement(node) && floats(node.expression, checker)) {
      const text = node.expression.getText(file).split("\n")[0]?.slice(0, 60);
      report(node, `nobody waits for ${text}`);
    }
    if (isAsyncFunction(node) && isDropped(node, checker)) {
      report(node, "async function where a plain one is called: its promise is dropped");
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return faults;
}

function floats(expression: ts.Expression, checker: ts.TypeChecker): boolean {
  let inner = expression;
  while (ts.isParenthesizedExpression(inner)) inner = inner.expression;
  if (ts.isVoidExpression(inner) || ts.isAwaitExpression(inner)) return false;
  if (ts.isBinaryExpression(inner)) {
    const kind = inner.operatorToken.kind;
    if (kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment) return false;
    return floats(inner.right, checker) ||
      (kind !== ts.SyntaxKind.AmpersandAmpersandToken && floats(inner.left, checker));
  }
  if (ts.isConditionalExpression(inner)) {
    return floats(inner.whenTrue, checker) || floats(inner.whenFalse, checker);
  }
  return isPromise(checker.getTypeAtLocation(inner), checker);
}

function isPromise(type: ts.Type, checker: ts.TypeChecker): boolean {
  if (type.isUnion()) return type.types.some((part) => isPromise(part, checker));
  if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Never)) return false;
  if (checker.isArrayType(type) || checker.isTupleType(type)) {
    const items = checker.getTypeArguments(type as ts.TypeReference); // arrays are references
    return items.some((item) => isPromise(item, checker));
  }
  const then = checker.getPropertyOfType(type, "then");
  if (!then) return false;
  return checker.getTypeOfSymbol(then).getCallSignatures().length > 0;
}

function isAsyncFunction(node: ts.Node): node is ts.ArrowFunction | ts.FunctionExpression {
  if (!ts.isArrowFunction(node) && !ts.isFunctionExpression(node)) return false;
  return node.modifiers?.some((modifier) => modifier.kind === ts.SyntaxKind.AsyncKeyword) ?? false;
}

/** True when every signature the function is wanted for returns exactly void. */
function isDropped(
  node: ts.ArrowFunction | ts.FunctionExpression,
  checker: ts.TypeChecker,
): boolean {
  const wanted = checker.getContextualType(node);
  if (!wanted) return false;
  const parts = wanted.isUnion() ? wanted.types : [wanted];
  const signatures = parts.flatMap((part) => part.getCallSignatures());
  return signatures.length > 0 &&
    signatures.every((signature) =>
      (checker.getReturnTypeOfSignature(signature).flags & ts.TypeFlags.Void) !== 0
    );
}
