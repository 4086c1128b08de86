/**
 * What the API server fills into a Pod that the user left out. Idempotent: a defaulted pod comes
 * back as it is. Tolerations for unreachable nodes are not added: pods at the edge are never
 * evicted because the link is down.
 */
import { cloneJson, isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";

const FILE_MODE = 0o644;

export function defaultPod(pod: KubeObject): KubeObject {
  const copy = cloneJson(pod);
  const spec = isJsonObject(copy["spec"]) ? copy["spec"] : {};
  copy["spec"] = spec;
  defaultPodSpec(spec);
  return copy;
}

/** Fills in `spec` in place; also for pod templates. */
export function defaultPodSpec(spec: JsonObject): void {
  set(spec, "restartPolicy", "Always");
  set(spec, "dnsPolicy", "ClusterFirst");
  set(spec, "terminationGracePeriodSeconds", 30);
  set(spec, "schedulerName", "default-scheduler");
  set(spec, "securityContext", {});
  set(spec, "enableServiceLinks", true);
  if (spec["serviceAccountName"]) set(spec, "serviceAccount", spec["serviceAccountName"]);
  if (spec["serviceAccount"]) set(spec, "serviceAccountName", spec["serviceAccount"]);
  for (const volume of objects(spec["volumes"])) defaultVolume(volume);
  for (const list of ["initContainers", "containers", "ephemeralContainers"]) {
    for (const container of objects(spec[list])) {
      defaultContainer(container, spec["hostNetwork"] === true);
    }
  }
}

function defaultContainer(container: JsonObject, hostNetwork: boolean): void {
  set(container, "terminationMessagePath", "/dev/termination-log");
  set(container, "terminationMessagePolicy", "File");
  const image = container["image"];
  if (typeof image === "string" && image !== "") {
    set(container, "imagePullPolicy", isLatest(image) ? "Always" : "IfNotPresent");
  }
  set(container, "resources", {});
  defaultRequests(container["resources"]);
  for (const port of objects(container["ports"])) {
    set(port, "protocol", "TCP");
    if (hostNetwork && port["containerPort"]) set(port, "hostPort", port["containerPort"]);
  }
  for (const variable of objects(container["env"])) {
    const source = variable["valueFrom"];
    if (isJsonObject(source)) defaultFieldSource(source);
  }
  for (const key of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = container[key];
    if (isJsonObject(probe)) defaultProbe(probe);
  }
  const lifecycle = container["lifecycle"];
  if (!isJsonObject(lifecycle)) return;
  for (const key of ["postStart", "preStop"]) {
    const handler = lifecycle[key];
    if (isJsonObject(handler)) defaultHttpGet(handler);
  }
}

/** No tag and no digest means `latest`. The colon of a registry's port is no tag. */
export function isLatest(image: string): boolean {
  if (image.includes("@")) return false;
  const name = image.slice(image.lastIndexOf("/") + 1);
  const colon = name.indexOf(":");
  return colon < 0 || name.slice(colon + 1) === "latest";
}

function defaultRequests(resources: unknown): void {
  if (!isJsonObject(resources) || !isJsonObject(resources["limits"])) return;
  const requests = isJsonObject(resources["requests"]) ? resources["requests"] : {};
  for (const [name, limit] of Object.entries(resources["limits"])) {
    if (requests[name] === undefined) requests[name] = limit;
  }
  resources["requests"] = requests;
}

function defaultProbe(probe: JsonObject): void {
  setPositive(probe, "timeoutSeconds", 1);
  setPositive(probe, "periodSeconds", 10);
  setPositive(probe, "successThreshold", 1);
  setPositive(probe, "failureThreshold", 3);
  if (isJsonObject(probe["grpc"])) set(probe["grpc"], "service", "");
  defaultHttpGet(probe);
}

function defaultHttpGet(handler: JsonObject): void {
  const httpGet = handler["httpGet"];
  if (!isJsonObject(httpGet)) return;
  setText(httpGet, "path", "/");
  setText(httpGet, "scheme", "HTTP");
}

function defaultFieldSource(source: JsonObject): void {
  if (isJsonObject(source["fieldRef"])) setText(source["fieldRef"], "apiVersion", "v1");
  if (isJsonObject(source["resourceFieldRef"])) set(source["resourceFieldRef"], "divisor", "0");
}

function defaultVolume(volume: JsonObject): void {
  if (Object.keys(volume).every((key) => key === "name")) volume["emptyDir"] = {};
  for (const kind of ["configMap", "secret", "downwardAPI", "projected"]) {
    const source = volume[kind];
    if (isJsonObject(source)) set(source, "defaultMode", FILE_MODE);
  }
  const hostPath = volume["hostPath"];
  if (isJsonObject(hostPath)) set(hostPath, "type", "");
  const downward = volume["downwardAPI"];
  if (isJsonObject(downward)) objects(downward["items"]).forEach(defaultFieldSource);
  const projected = volume["projected"];
  if (!isJsonObject(projected)) return;
  for (const source of objects(projected["sources"])) {
    const token = source["serviceAccountToken"];
    if (isJsonObject(token)) set(token, "expirationSeconds", 3_600);
    const items = source["downwardAPI"];
    if (isJsonObject(items)) objects(items["items"]).forEach(defaultFieldSource);
  }
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

function set(object: JsonObject, key: string, value: unknown): void {
  if (object[key] === undefined) object[key] = value;
}

/** For fields where "" means "not set". */
function setText(object: JsonObject, key: string, value: string): void {
  if (object[key] === undefined || object[key] === "") object[key] = value;
}

/** For numbers where 0 means "not set". */
function setPositive(object: JsonObject, key: string, value: number): void {
  if (object[key] === undefined || object[key] === 0) object[key] = value;
}
