/**
 * A file of the static folder into the pod it describes, as kubelet names and marks it. Pure. What
 * is no pod is an AppError "invalid" that says why; what is wrong deeper in the spec shows on the
 * pod itself, as with any other.
 */
import { createHash } from "node:crypto";
import { parse as parseYaml } from "yaml";
import { AppError, errorChain } from "../../../shared/errors.ts";
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import {
  HASH_ANNOTATION,
  MIRROR_ANNOTATION,
  SOURCE_ANNOTATION,
} from "../../../shared/k8s/mirror.ts";
import type { Pod, PodSpec } from "../../../shared/k8s/types.ts";
import { specProblem } from "../admission.ts";

/** Uids of static pods, as kubelet makes them; the API's have dashes. */
const STATIC_UID = /^[0-9a-f]{32}$/;

export function isStaticUid(uid: string): boolean {
  return STATIC_UID.test(uid);
}

export interface StaticFile {
  /** Its name in the folder. */
  name: string;
  text: string;
  /** When it was written; "" when not known. */
  writtenAt: string;
}

export function parseStaticPod(file: StaticFile, nodeName: string): Pod {
  const body = parseBody(file);
  if (!isJsonObject(body)) throw invalid("must hold one object");
  if (body.kind !== "Pod" || body.apiVersion !== "v1") {
    throw invalid(
      `must hold a Pod of v1, got ${JSON.stringify(body.kind)} of ${
        JSON.stringify(body.apiVersion)
      }`,
    );
  }
  const { metadata, spec } = body;
  if (!isJsonObject(metadata)) throw invalid("metadata must be an object");
  if (!isJsonObject(spec)) throw invalid("spec must be an object");
  if (typeof metadata.name !== "string" || metadata.name === "") {
    throw invalid("metadata.name must be a name");
  }
  const labels = texts(metadata.labels, "metadata.labels");
  const annotations = texts(metadata.annotations, "metadata.annotations");
  delete annotations[MIRROR_ANNOTATION];
  const uid = digest([
    nodeName,
    file.name,
    metadata.name,
    metadata.namespace,
    labels,
    annotations,
    spec,
  ]);
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${metadata.name}-${nodeName.toLowerCase()}`,
      namespace: metadata.namespace === undefined ? "default" : String(metadata.namespace),
      uid,
      ...(file.writtenAt ? { creationTimestamp: file.writtenAt } : {}),
      ...(Object.keys(labels).length > 0 ? { labels } : {}),
      annotations: { ...annotations, [HASH_ANNOTATION]: uid, [SOURCE_ANNOTATION]: "file" },
    },
    spec: ownSpec(spec, nodeName),
  };
  const problem = specProblem(pod);
  if (problem) throw invalid(problem);
  return pod;
}

/** The object that shows a static pod in the API. */
export function mirrorOf(pod: Pod): Pod | undefined {
  const uid = pod.metadata.uid ?? "";
  if (!isStaticUid(uid)) return undefined;
  const { uid: _uid, creationTimestamp: _at, resourceVersion: _version, ...metadata } =
    pod.metadata;
  const annotations = { ...metadata.annotations, [MIRROR_ANNOTATION]: uid };
  return { ...pod, metadata: { ...metadata, annotations } };
}

/** Bound to this node; no taint of the node ends what its own folder asks for. */
function ownSpec(spec: JsonObject, nodeName: string): PodSpec {
  const { ephemeralContainers: _ephemeral, ...rest } = spec;
  const tolerations = Array.isArray(rest.tolerations) ? rest.tolerations : [];
  return {
    ...rest,
    nodeName,
    tolerations: [...tolerations, { operator: "Exists", effect: "NoExecute" }],
  } as unknown as PodSpec; // looked at by specProblem, and where each field is used
}

function parseBody({ name, text }: StaticFile): unknown {
  try {
    return withoutNulls(name.endsWith(".json") ? JSON.parse(text) : parseYaml(text));
  } catch (error) {
    const [line = ""] = errorChain(error).split("\n");
    throw invalid(`cannot be read: ${line}`);
  }
}

/** A key without a value is a key left out, as in the API. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
  return Object.fromEntries(kept.map(([key, each]) => [key, withoutNulls(each)]));
}

/** A map of texts; YAML makes numbers and truths of what is not quoted. */
function texts(value: unknown, field: string): Record<string, string> {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw invalid(`${field} must be a map`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw invalid(`${field}: the value of ${key} must be a text, got ${JSON.stringify(text)}`);
    }
  }
  return { ...value } as Record<string, string>; // just looked at
}

function digest(parts: unknown): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

function invalid(message: string): AppError {
  return new AppError("invalid", message);
}
