/** Subresources that are not the object itself: pods/binding, pods/eviction, pods/log. */
import { toTime } from "../../shared/clock.ts";
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import type { Condition, KubeObject, Pod } from "../../shared/k8s/types.ts";
import { contentTypeOf, parseObjectBody, readBody } from "./body.ts";
import { type ApiRequest, dryRunOf, type Handler, jsonResponse } from "./context.ts";
import { conflict, invalidFields, success } from "./errors.ts";
import { podLog } from "./handle_log.ts";
import { required } from "./kinds/field_error.ts";
import { namedPlace, toDeleteOptions } from "./handle_write.ts";
import { createToken } from "./service_accounts/handle_token.ts";

async function objectBody({ request }: ApiRequest): Promise<JsonObject> {
  const { value } = parseObjectBody(await readBody(request), contentTypeOf(request));
  return isJsonObject(value) ? value : {};
}

/** Gives a pod its node, once: the scheduler's write. */
const bindPod: Handler = async (parts, request) => {
  const body = await objectBody(request);
  const target = isJsonObject(body.target) ? body.target : {};
  if (typeof target.name !== "string" || target.name === "") {
    throw invalidFields({ group: "", kind: "Binding" }, request.path.name ?? "", [
      required("target.name"),
    ]);
  }
  const node = target.name;
  const at = toTime(parts.clock.nowMs());
  const { kind } = request;
  const bound = (current: KubeObject): KubeObject => {
    const pod = current as Pod; // what is stored under pods is a Pod
    const name = pod.metadata.name ?? "";
    if (pod.metadata.deletionTimestamp) {
      throw conflict(kind, name, `pod ${name} is being deleted, cannot be assigned to a host`);
    }
    if (pod.spec.nodeName) {
      throw conflict(kind, name, `pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
    }
    return withNode(pod, node, at);
  };
  await parts.writer.replaceWhole(
    namedPlace(request),
    bound,
    dryRunOf(request.query.getAll("dryRun")),
  );
  return jsonResponse(success(), { status: 201 });
};

function withNode(pod: Pod, node: string, at: string): Pod {
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
  const scheduled: Condition = { type: "PodScheduled", status: "True", lastTransitionTime: at };
  return {
    ...pod,
    spec: { ...pod.spec, nodeName: node },
    status: { ...pod.status, conditions: [...others, scheduled] },
  };
}

/** A polite deletion. There are no disruption budgets here, so it is always granted. */
const evictPod: Handler = async (parts, request) => {
  const body = await objectBody(request);
  const wish = isJsonObject(body.deleteOptions) ? body.deleteOptions : {};
  const { options, dryRun } = toDeleteOptions(wish, request.query);
  await parts.writer.delete({ ...namedPlace(request), subresource: "" }, options, { dryRun });
  return jsonResponse(success(), { status: 201 });
};

/** By "<plural>/<subresource>"; whatever is not here has the kind's own shape. */
export const SPECIAL_SUBRESOURCES: Readonly<Record<string, Handler>> = {
  "pods/binding": bindPod,
  "pods/eviction": evictPod,
  "pods/log": podLog,
  "serviceaccounts/token": createToken,
};
