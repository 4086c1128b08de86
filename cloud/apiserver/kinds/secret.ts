/** The Secret: stringData becomes data, the type is for good and asks for its keys. */
import { isJsonObject } from "../../../shared/json/json.ts";
import type { KubeObject, Secret } from "../../../shared/k8s/types.ts";
import { checkImmutable, DATA_BYTES_MAX } from "./config_data.ts";
import { base64Length } from "./config_map.ts";
import { defineKind } from "./define_kind.ts";
import { type FieldError, invalidValue, required, tooLong } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { configKeyProblem } from "./names.ts";

const secret = (object: KubeObject) => object as Secret; // its shape was checked by decodeJson()

/** Keys a type asks for. */
const KEYS_OF_TYPE: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

export const SECRET: KindInfo = defineKind({
  kind: "Secret",
  plural: "secrets",
  fields: { type: (object) => secret(object).type },
  default: defaultSecret,
  validate: (object) => {
    const errors: FieldError[] = [];
    const data = secret(object).data ?? {};
    let bytes = 0;
    for (const [key, value] of Object.entries(data)) {
      const problem = configKeyProblem(key);
      if (problem) errors.push(invalidValue(`data[${key}]`, key, problem));
      bytes += base64Length(value);
    }
    if (bytes > DATA_BYTES_MAX) errors.push(tooLong("data", DATA_BYTES_MAX));
    checkType(errors, secret(object));
    return errors;
  },
  validateUpdate: (object, old) => {
    const errors = checkImmutable(object, old, ["data"]);
    const { type } = secret(object);
    if (type !== secret(old).type) errors.push(invalidValue("type", type, "field is immutable"));
    return errors;
  },
});

/** stringData wins over data, and is never stored. */
function defaultSecret(object: KubeObject): KubeObject {
  const { stringData, ...rest } = object;
  const result: KubeObject = { ...rest, type: rest["type"] || "Opaque" };
  if (isJsonObject(stringData)) {
    const data: Record<string, string> = { ...secret(object).data };
    for (const [key, value] of Object.entries(stringData)) data[key] = toBase64(String(value));
    result["data"] = data;
  }
  return result;
}

function toBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function checkType(errors: FieldError[], { type = "", data = {}, metadata }: Secret): void {
  for (const key of KEYS_OF_TYPE[type] ?? []) {
    if (data[key] === undefined) errors.push(required(`data[${key}]`));
    else if (key.startsWith(".docker") && !holdsJson(data[key])) {
      errors.push(invalidValue(`data[${key}]`, "<secret contents redacted>", "must be JSON"));
    }
  }
  if (type === "kubernetes.io/basic-auth" && !data["username"] && !data["password"]) {
    errors.push(required("data[username]"), required("data[password]"));
  }
  if (type === "kubernetes.io/service-account-token") {
    const key = "kubernetes.io/service-account.name";
    if (!metadata.annotations?.[key]) errors.push(required(`metadata.annotations[${key}]`));
  }
}

function holdsJson(base64: string): boolean {
  try {
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    return isJsonObject(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return false; // Not JSON is the answer, not a failure
  }
}
