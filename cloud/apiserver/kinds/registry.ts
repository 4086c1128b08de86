/** The kinds the server serves, as a table. */
import type { KindInfo } from "./kind_info.ts";

/** All kinds, core group first, in the order discovery lists them. */
export function allKinds(): readonly KindInfo[] {
  return [];
}

/** The kind behind a path, or undefined. */
export function findKind(group: string, version: string, plural: string): KindInfo | undefined {
  return allKinds().find((kind) =>
    kind.group === group && kind.version === version && kind.plural === plural
  );
}
