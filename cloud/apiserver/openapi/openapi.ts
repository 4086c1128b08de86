/** OpenAPI v3 documents, one per group and version, and the empty v2. */
import type { JsonObject } from "../../../shared/json/json.ts";

/** Content-Type of the zero-byte /openapi/v2 reply that satisfies every kubectl. */
export const OPENAPI_V2_CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/** Reply of GET /openapi/v3: {"paths": {"api/v1": {"serverRelativeURL": …}}}. */
export function openapiIndex(): JsonObject {
  return { paths: {} };
}

/** Reply of GET /openapi/v3/api/v1 or /openapi/v3/apis/<group>/<version>. */
export function openapiDocument(group: string, version: string): JsonObject | undefined {
  void group;
  void version;
  return undefined;
}
