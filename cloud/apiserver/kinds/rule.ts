/**
 * Rule and RuleEndpoint of rules.kubeedge.io/v1: messages from one sort of endpoint to another.
 * Both can be changed, which the original refused. What a rule needs depends on the types of its
 * endpoints; an endpoint that is not there yet is a warning, because manifests apply in any order.
 */
import { deepEqual } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { checkName, checkOneOf } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { duplicate, type FieldError, invalidValue, required } from "./field_error.ts";
import type { KindInfo, Neighbours, Review } from "./kind_info.ts";
import { dnsSubdomainProblem } from "./names.ts";

const GROUP = "rules.kubeedge.io";
const ENDPOINTS_ID = { group: GROUP, resource: "ruleendpoints" } as const;
const RULES_ID = { group: GROUP, resource: "rules" } as const;
const ENDPOINT_TYPES = ["eventbus", "rest", "servicebus"];

interface RuleSpec {
  source: string;
  sourceResource: Record<string, string>;
  target: string;
  targetResource: Record<string, string>;
}

interface EndpointSpec {
  ruleEndpointType: string;
  properties?: Record<string, string>;
}

/** "<source>-><target>" to the keys their resources must have. */
const PAIRS: Readonly<Record<string, { source: string[]; target: string[] }>> = {
  "rest->eventbus": { source: ["path"], target: ["topic"] },
  "rest->servicebus": { source: ["path"], target: ["path"] },
  "eventbus->rest": { source: ["topic", "node_name"], target: ["resource"] },
  "servicebus->rest": { source: ["target_url", "node_name"], target: ["resource"] },
};
/** What tells two rules of one source type apart; two with the same would both fire. */
const IDENTITY: Readonly<Record<string, readonly string[]>> = {
  rest: ["path"],
  eventbus: ["topic", "node_name"],
  servicebus: ["target_url", "node_name"],
};

const ruleSpec = (object: KubeObject) => (object["spec"] ?? {}) as RuleSpec; // by decodeJson()
const endpointSpec = (object: KubeObject) => (object["spec"] ?? {}) as EndpointSpec; // likewise

export const RULE: KindInfo = defineKind({
  group: GROUP,
  kind: "Rule",
  plural: "rules",
  hasStatus: true,
  generationFields: ["spec"],
  subresources: [{
    name: "status",
    verbs: ["get", "patch", "update"],
    responseKind: { group: GROUP, version: "v1", kind: "Rule" },
  }],
  prepareCreate: ({ status: _counted, ...object }) => object as KubeObject, // counted later
  validate: validateRule,
  review: reviewRule,
});

export const RULE_ENDPOINT: KindInfo = defineKind({
  group: GROUP,
  kind: "RuleEndpoint",
  plural: "ruleendpoints",
  shortNames: ["re"],
  generationFields: ["spec"],
  validate: (object) => {
    const errors: FieldError[] = [];
    const { ruleEndpointType, properties = {} } = endpointSpec(object);
    checkOneOf(errors, "spec.ruleEndpointType", ruleEndpointType, ENDPOINT_TYPES);
    const port = properties["service_port"];
    if (ruleEndpointType === "servicebus") {
      if (!port) errors.push(required("spec.properties[service_port]"));
      else if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
        const detail = "must be a whole number between 1 and 65535";
        errors.push(invalidValue("spec.properties[service_port]", port, detail));
      }
    }
    return errors;
  },
});

function validateRule(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const { source, sourceResource, target, targetResource } = ruleSpec(object);
  checkName(errors, "spec.source", source, dnsSubdomainProblem);
  checkName(errors, "spec.target", target, dnsSubdomainProblem);
  if (!sourceResource) errors.push(required("spec.sourceResource"));
  if (!targetResource) errors.push(required("spec.targetResource"));
  return errors;
}

function reviewRule(
  object: KubeObject,
  old: KubeObject | undefined,
  neighbours: Neighbours,
): Review {
  const spec = ruleSpec(object);
  if (old && deepEqual(ruleSpec(old), spec)) return { errors: [], warnings: [] };
  const { namespace } = object.metadata;
  const warnings: string[] = [];
  const types = (["source", "target"] as const).map((role) => {
    const found = neighbours.find(ENDPOINTS_ID, namespace, spec[role]);
    if (!found) warnings.push(`spec.${role}: rule endpoint "${spec[role]}" does not exist yet`);
    return found && endpointSpec(found).ruleEndpointType;
  });
  const [source, target] = types;
  if (source === undefined || target === undefined) return { errors: [], warnings };
  const pair = PAIRS[`${source}->${target}`];
  if (!pair) {
    const detail = `a rule from ${source} may not lead to ${target}; possible are ` +
      Object.keys(PAIRS).join(", ");
    return { errors: [invalidValue("spec.target", spec.target, detail)], warnings };
  }
  const errors = [
    ...missing("spec.sourceResource", spec.sourceResource, pair.source),
    ...missing("spec.targetResource", spec.targetResource, pair.target),
    ...checkResource(spec.targetResource),
  ];
  if (errors.length === 0) errors.push(...clashes(object, source, neighbours));
  return { errors, warnings };
}

function missing(
  field: string,
  resource: Record<string, string>,
  keys: readonly string[],
): FieldError[] {
  return keys.filter((key) => !resource[key]).map((key) => required(`${field}[${key}]`));
}

function checkResource({ resource }: Record<string, string>): FieldError[] {
  if (!resource || (/^https?:\/\//.test(resource) && URL.canParse(resource))) return [];
  return [invalidValue("spec.targetResource[resource]", resource, "must be an http or https URL")];
}

function clashes(rule: KubeObject, type: string, neighbours: Neighbours): FieldError[] {
  const keys = IDENTITY[type] ?? [];
  const spec = ruleSpec(rule);
  const { namespace, name } = rule.metadata;
  const isSame = (other: RuleSpec) =>
    keys.every((key) => other.sourceResource[key] === spec.sourceResource[key]);
  const clash = neighbours.list(RULES_ID, namespace).find((other) => {
    if (other.metadata.name === name || !isSame(ruleSpec(other))) return false;
    const endpoint = neighbours.find(ENDPOINTS_ID, namespace, ruleSpec(other).source);
    return endpoint !== undefined && endpointSpec(endpoint).ruleEndpointType === type;
  });
  if (!clash) return [];
  const key = keys[0] ?? "";
  return [duplicate(`spec.sourceResource[${key}]`, spec.sourceResource[key])];
}
