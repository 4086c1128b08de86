/** Protobuf bodies (application/vnd.kubernetes.protobuf) into the JSON form of the object. */
import { AppError } from "../../../shared/errors.ts";
import type { JsonObject } from "../../../shared/json/json.ts";

export interface DecodedProtobuf {
  apiVersion: string;
  kind: string;
  /** JSON form, with apiVersion and kind set. DeleteOptions, Eviction … have no metadata. */
  object: JsonObject;
}

/** Throws AppError "invalid" with `facts.reason` "BadRequest" (HTTP 400). */
export function decodeProtobuf(bytes: Uint8Array): DecodedProtobuf {
  throw new AppError("invalid", `Cannot read protobuf body of ${bytes.length} bytes`);
}
