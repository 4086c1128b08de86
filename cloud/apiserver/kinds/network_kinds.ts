/**
 * ServiceAccount, Service and Endpoints, stored and shown so that manifests which hold them apply.
 * No cluster addresses are given out and no traffic is directed here.
 */
import { cloneJson, isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { checkName, checkOneOf, checkRange, PORT_RANGE } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { duplicate, type FieldError, required } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { dns1035Problem, dnsLabelProblem, ipProblem } from "./names.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

export const SERVICE_ACCOUNT: KindInfo = defineKind({
  kind: "ServiceAccount",
  plural: "serviceaccounts",
  shortNames: ["sa"],
  subresources: [
    {
      name: "token",
      verbs: ["create"],
      responseKind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
    },
  ],
});

export const SERVICE: KindInfo = defineKind({
  kind: "Service",
  plural: "services",
  shortNames: ["svc"],
  categories: ["all"],
  nameRule: dns1035Problem,
  hasStatus: true,
  subresources: [
    {
      name: "status",
      verbs: ["get", "patch", "update"],
      responseKind: { group: "", version: "v1", kind: "Service" },
    },
  ],
  fields: {
    "spec.clusterIP": (object) => specOf(object)["clusterIP"],
    "spec.type": (object) => specOf(object)["type"],
  },
  default: defaultService,
  prepareCreate: (object) => ({ ...object, status: { loadBalancer: {} } }),
  validate: validateService,
});

export const ENDPOINTS: KindInfo = defineKind({
  kind: "Endpoints",
  plural: "endpoints",
  shortNames: ["ep"],
  createOnUpdate: true,
  default: (object) => {
    const copy = cloneJson(object);
    for (const subset of objects(copy["subsets"])) {
      for (const port of objects(subset["ports"])) port["protocol"] ??= "TCP";
    }
    return copy;
  },
  validate: validateEndpoints,
});

function specOf(object: KubeObject): JsonObject {
  return isJsonObject(object["spec"]) ? object["spec"] : {};
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function defaultService(object: KubeObject): KubeObject {
  const copy = cloneJson(object);
  const spec = specOf(copy);
  copy["spec"] = spec;
  spec["sessionAffinity"] ??= "None";
  spec["type"] ??= "ClusterIP";
  if (spec["type"] !== "ExternalName") spec["internalTrafficPolicy"] ??= "Cluster";
  for (const port of objects(spec["ports"])) {
    port["protocol"] ??= "TCP";
    port["targetPort"] ??= port["port"];
  }
  return copy;
}

function validateService(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  const spec = specOf(object);
  checkOneOf(errors, "spec.type", text(spec["type"]), SERVICE_TYPES);
  checkOneOf(errors, "spec.sessionAffinity", text(spec["sessionAffinity"]), ["ClientIP", "None"]);
  const ports = objects(spec["ports"]);
  const headless = spec["clusterIP"] === "None";
  if (ports.length === 0 && !headless && spec["type"] !== "ExternalName") {
    errors.push(required("spec.ports"));
  }
  if (spec["type"] === "ExternalName" && !spec["externalName"]) {
    errors.push(required("spec.externalName"));
  }
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const field = `spec.ports[${index}]`;
    const name = text(port["name"]);
    if (name || ports.length > 1) checkName(errors, `${field}.name`, name, dnsLabelProblem);
    if (name && names.has(name)) errors.push(duplicate(`${field}.name`, name));
    if (name) names.add(name);
    checkRange(errors, `${field}.port`, Number(port["port"] ?? 0), PORT_RANGE);
    checkOneOf(errors, `${field}.protocol`, text(port["protocol"]), PROTOCOLS);
  });
  return errors;
}

function validateEndpoints(object: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  objects(object["subsets"]).forEach((subset, index) => {
    const field = `subsets[${index}]`;
    for (const key of ["addresses", "notReadyAddresses"]) {
      objects(subset[key]).forEach((address, position) =>
        checkName(errors, `${field}.${key}[${position}].ip`, text(address["ip"]), ipProblem)
      );
    }
    objects(subset["ports"]).forEach((port, position) => {
      const at = `${field}.ports[${position}].port`;
      checkRange(errors, at, Number(port["port"] ?? 0), PORT_RANGE);
    });
  });
  return errors;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
