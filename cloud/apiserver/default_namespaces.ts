/** The namespaces every cluster has, made at start where they are missing. */
import { isAppError } from "../../shared/errors.ts";
import { NAMESPACE } from "./kinds/namespace.ts";
import { DEFAULT_NAMESPACES } from "./lifecycle.ts";
import type { ObjectStorage } from "./storage.ts";
import { kindId, type ObjectWriter } from "./writer.ts";

export async function createDefaultNamespaces(
  storage: ObjectStorage,
  writer: ObjectWriter,
): Promise<void> {
  for (const name of DEFAULT_NAMESPACES) {
    if (storage.get(kindId(NAMESPACE), undefined, name)) continue;
    const object = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
    try {
      await writer.create({ kind: NAMESPACE, namespace: undefined }, object, { dryRun: false });
    } catch (error) {
      if (!isAppError(error, "already_exists")) throw error; // there is what we want
    }
  }
}
