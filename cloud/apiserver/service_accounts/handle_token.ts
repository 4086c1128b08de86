/** POST of serviceaccounts/NAME/token: a TokenRequest (`kubectl create token`). */
import { toTime } from "../../../shared/clock.ts";
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject, Pod } from "../../../shared/k8s/types.ts";
import { contentTypeOf, parseObjectBody, readBody } from "../body.ts";
import { dryRunOf, type Handler, jsonResponse, type ServerParts } from "../context.ts";
import { conflict, forbidden, invalidFields, notFound, notServed } from "../errors.ts";
import { type FieldError, invalidValue, notSupported } from "../kinds/field_error.ts";
import { type BoundObject, claimsOf } from "./token_claims.ts";

const KIND = { group: "authentication.k8s.io", kind: "TokenRequest" };
const LIFE_SECONDS_DEFAULT = 3_600;
const LIFE_SECONDS_MIN = 600;
const LIFE_SECONDS_MAX = 2 ** 32;
/** No token is for more readers than a few; each is written into it. */
const AUDIENCES_MAX = 32;
const BOUND_KINDS = ["Pod", "Secret", "Node"] as const;

interface Spec {
  audiences: string[];
  expirationSeconds: number;
  boundObjectRef?: JsonObject;
}

export const createToken: Handler = async (parts, { request, path, query }) => {
  const { tokenSigner, storage, clock, random } = parts;
  if (!tokenSigner) throw notServed("serviceaccounts/token");
  const { value } = parseObjectBody(await readBody(request), contentTypeOf(request));
  const { name = "", namespace = "" } = path;
  const spec = specOf(isJsonObject(value) ? value.spec : undefined, name, tokenSigner.issuer);
  const accounts = { group: "", resource: "serviceaccounts" };
  const account = storage.get(accounts, namespace, name);
  if (!account) throw notFound({ group: "", plural: "serviceaccounts" }, name);
  const bound = boundOf(parts, spec, account);
  dryRunOf(query.getAll("dryRun")); // nothing is kept either way
  const nowMs = clock.nowMs();
  const wish = {
    account,
    audiences: spec.audiences,
    issuedAtMs: nowMs,
    lifeSeconds: spec.expirationSeconds,
    ...(bound ? { bound } : {}),
    id: random.uuid(),
  };
  const token = tokenSigner.sign(claimsOf(wish, tokenSigner.issuer));
  const endMs = Math.floor(nowMs / 1_000) * 1_000 + spec.expirationSeconds * 1_000;
  return jsonResponse({
    kind: KIND.kind,
    apiVersion: `${KIND.group}/v1`,
    metadata: { name, namespace, creationTimestamp: toTime(nowMs) },
    spec,
    status: { token, expirationTimestamp: toTime(endMs) },
  }, { status: 201 });
};

function specOf(value: unknown, name: string, issuer: string): Spec {
  const errors: FieldError[] = [];
  const spec = isJsonObject(value) ? value : {};
  const seconds = spec.expirationSeconds ?? LIFE_SECONDS_DEFAULT;
  const field = "spec.expirationSeconds";
  if (typeof seconds !== "number" || !Number.isInteger(seconds)) {
    errors.push(invalidValue(field, seconds, "must be a whole number"));
  } else if (seconds < LIFE_SECONDS_MIN) {
    errors.push(invalidValue(field, seconds, "may not specify a duration less than 10 minutes"));
  } else if (seconds > LIFE_SECONDS_MAX) {
    errors.push(
      invalidValue(field, seconds, "may not specify a duration larger than 2^32 seconds"),
    );
  }
  const audiences = spec.audiences ?? [];
  const good = Array.isArray(audiences) && audiences.length <= AUDIENCES_MAX &&
    audiences.every((audience) => typeof audience === "string" && audience !== "");
  if (!good) {
    const detail = `must be at most ${AUDIENCES_MAX} names, none empty`;
    errors.push(invalidValue("spec.audiences", audiences, detail));
  }
  if (errors.length > 0) throw invalidFields(KIND, name, errors);
  const named = audiences as string[]; // every one is a string, by the lines above
  return {
    audiences: named.length > 0 ? named : [issuer],
    expirationSeconds: seconds as number, // an integer, by the lines above
    ...(isJsonObject(spec.boundObjectRef) ? { boundObjectRef: spec.boundObjectRef } : {}),
  };
}

/** The object a token shall die with: there, the one that is meant, and a pod of this account. */
function boundOf(
  { storage }: ServerParts,
  { boundObjectRef }: Spec,
  account: KubeObject,
): BoundObject | undefined {
  if (!boundObjectRef) return undefined;
  const { name = "", namespace } = account.metadata;
  const { kind: wanted, name: boundName, uid } = boundObjectRef;
  const kind = BOUND_KINDS.find((one) => one === wanted);
  if (!kind) {
    const error = notSupported("spec.boundObjectRef.kind", wanted, BOUND_KINDS);
    throw invalidFields(KIND, name, [error]);
  }
  const what = { group: "", plural: `${kind.toLowerCase()}s` };
  const place = kind === "Node" ? undefined : namespace;
  const id = { group: "", resource: what.plural };
  const object = storage.get(id, place, String(boundName ?? ""));
  if (!object) throw notFound(what, String(boundName ?? ""));
  const found = object.metadata.uid ?? "";
  if (uid !== undefined && uid !== "" && uid !== found) {
    const why =
      `the UID in the bound object reference (${uid}) does not match the UID in record. ` +
      "The object might have been deleted and then recreated";
    throw conflict(what, String(boundName), why);
  }
  if (kind === "Pod") {
    const own = (object as Pod).spec.serviceAccountName ?? "default"; // stored under pods
    if (own !== name) {
      throw forbidden(what, String(boundName), `it runs as service account ${own}, not ${name}`);
    }
  }
  return { kind, name: String(boundName), uid: found };
}
