/** Probes and lifecycle handlers: exactly one handler, ports and numbers in range. */
import { isJsonObject, type JsonObject } from "../../../shared/json/json.ts";
import type { Container, Probe } from "../../../shared/k8s/types.ts";
import { checkName, checkNotNegative, checkOneOf, checkRange, PORT_RANGE } from "./checks.ts";
import { type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import { portNameProblem } from "./names.ts";

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;
const PROBE_HANDLERS = ["exec", "httpGet", "tcpSocket", "grpc"];
const LIFECYCLE_HANDLERS = ["exec", "httpGet", "tcpSocket", "sleep"];

export function checkProbes(errors: FieldError[], field: string, container: Container): void {
  for (const name of PROBES) {
    const probe = container[name];
    if (probe) checkProbe(errors, `${field}.${name}`, name, probe);
  }
}

function checkProbe(errors: FieldError[], field: string, name: string, probe: Probe): void {
  checkHandler(errors, field, probe as JsonObject, PROBE_HANDLERS); // read by handler name
  checkNotNegative(errors, `${field}.initialDelaySeconds`, probe.initialDelaySeconds);
  checkNotNegative(errors, `${field}.timeoutSeconds`, probe.timeoutSeconds);
  checkNotNegative(errors, `${field}.periodSeconds`, probe.periodSeconds);
  checkNotNegative(errors, `${field}.successThreshold`, probe.successThreshold);
  checkNotNegative(errors, `${field}.failureThreshold`, probe.failureThreshold);
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    const detail = "must be greater than 0";
    errors.push(invalidValue(`${field}.terminationGracePeriodSeconds`, grace, detail));
  }
  if (name === "readinessProbe") {
    if (grace !== undefined) {
      const detail = "must not be set for readinessProbes";
      errors.push(invalidValue(`${field}.terminationGracePeriodSeconds`, grace, detail));
    }
  } else if (probe.successThreshold !== undefined && probe.successThreshold !== 1) {
    errors.push(invalidValue(`${field}.successThreshold`, probe.successThreshold, "must be 1"));
  }
}

export function checkLifecycle(errors: FieldError[], field: string, container: Container): void {
  for (const name of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle?.[name];
    if (isJsonObject(handler)) {
      checkHandler(errors, `${field}.lifecycle.${name}`, handler, LIFECYCLE_HANDLERS);
    }
  }
}

function checkHandler(
  errors: FieldError[],
  field: string,
  handler: JsonObject,
  known: readonly string[],
): void {
  const present = known.filter((name) => isJsonObject(handler[name]));
  if (present.length === 0) errors.push(required(field, "must specify a handler type"));
  for (const extra of present.slice(1)) {
    errors.push(forbidden(`${field}.${extra}`, "may not specify more than 1 handler type"));
  }
  const first = present[0];
  if (first === undefined) return;
  const body = handler[first];
  if (isJsonObject(body)) checkHandlerBody(errors, `${field}.${first}`, first, body);
}

function checkHandlerBody(
  errors: FieldError[],
  field: string,
  name: string,
  body: JsonObject,
): void {
  switch (name) {
    case "exec":
      if (!Array.isArray(body["command"]) || body["command"].length === 0) {
        errors.push(required(`${field}.command`));
      }
      return;
    case "httpGet":
      if (!body["path"]) errors.push(required(`${field}.path`));
      checkPort(errors, `${field}.port`, body["port"]);
      checkOneOf(errors, `${field}.scheme`, textOf(body["scheme"]), ["HTTP", "HTTPS"]);
      return;
    case "sleep":
      checkNotNegative(errors, `${field}.seconds`, Number(body["seconds"] ?? 0));
      return;
    default:
      checkPort(errors, `${field}.port`, body["port"]);
  }
}

/** A number in range, or the name of a port of the container. */
function checkPort(errors: FieldError[], field: string, port: unknown): void {
  if (typeof port === "string") checkName(errors, field, port, portNameProblem);
  else checkRange(errors, field, typeof port === "number" ? port : 0, PORT_RANGE);
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
