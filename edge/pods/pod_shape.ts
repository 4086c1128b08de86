/**
 * Whether a pod's spec has the shape the agent's code is written for. An API server checks all of
 * it; what gets past one (another server, a damaged store, a file) must not end in an exception
 * deep inside, but in words on the pod: the path of the first field that is wrong. Pure.
 */
import type { Pod } from "../../shared/k8s/types.ts";

type Shape =
  | "text"
  | "texts"
  | "flag"
  | "whole"
  | "count"
  | "amounts"
  | "port"
  | { readonly list: Shape }
  | { readonly fields: Readonly<Record<string, Shape>>; readonly required?: readonly string[] };

/** Far above what one object's bound in bytes leaves room for in earnest. */
const ITEMS_MAX = 10_000;

const list = (of: Shape): Shape => ({ list: of });
const fields = (of: Record<string, Shape>, ...required: string[]): Shape => ({
  fields: of,
  required,
});

const NAMED = fields({ name: "text", optional: "flag" });
const KEYED = fields({ name: "text", key: "text", optional: "flag" });
const FIELD_REF = fields({ fieldPath: "text" });
const RESOURCE_REF = fields({ containerName: "text", resource: "text", divisor: "text" });
const ITEMS = list(fields({ key: "text", path: "text", mode: "count" }, "key", "path"));
const DOWNWARD_ITEMS = list(
  fields(
    { path: "text", mode: "count", fieldRef: FIELD_REF, resourceFieldRef: RESOURCE_REF },
    "path",
  ),
);
const PROFILE = fields({ type: "text", localhostProfile: "text" });

const HTTP_GET = fields({
  path: "text",
  port: "port",
  host: "text",
  scheme: "text",
  httpHeaders: list(fields({ name: "text", value: "text" }, "name")),
}, "port");
const TCP_SOCKET = fields({ port: "port", host: "text" }, "port");
const EXEC = fields({ command: list("text") });
const HANDLER = fields({
  exec: EXEC,
  httpGet: HTTP_GET,
  tcpSocket: TCP_SOCKET,
  sleep: fields({ seconds: "count" }, "seconds"),
});
const PROBE = fields({
  exec: EXEC,
  httpGet: HTTP_GET,
  tcpSocket: TCP_SOCKET,
  grpc: fields({ port: "count", service: "text" }, "port"),
  initialDelaySeconds: "count",
  timeoutSeconds: "count",
  periodSeconds: "count",
  successThreshold: "count",
  failureThreshold: "count",
  terminationGracePeriodSeconds: "whole",
});

const ENV = fields({
  name: "text",
  value: "text",
  valueFrom: fields({
    fieldRef: FIELD_REF,
    resourceFieldRef: RESOURCE_REF,
    configMapKeyRef: KEYED,
    secretKeyRef: KEYED,
  }),
}, "name");

const CONTAINER = fields({
  name: "text",
  image: "text",
  command: list("text"),
  args: list("text"),
  workingDir: "text",
  ports: list(
    fields({
      name: "text",
      containerPort: "count",
      hostPort: "count",
      hostIP: "text",
      protocol: "text",
    }, "containerPort"),
  ),
  env: list(ENV),
  envFrom: list(fields({ prefix: "text", configMapRef: NAMED, secretRef: NAMED })),
  resources: fields({ limits: "amounts", requests: "amounts" }),
  volumeMounts: list(
    fields(
      {
        name: "text",
        mountPath: "text",
        readOnly: "flag",
        subPath: "text",
        subPathExpr: "text",
        mountPropagation: "text",
      },
      "name",
      "mountPath",
    ),
  ),
  restartPolicy: "text",
  restartPolicyRules: list(
    fields({
      action: "text",
      exitCodes: fields({ operator: "text", values: list("whole") }),
    }, "action"),
  ),
  livenessProbe: PROBE,
  readinessProbe: PROBE,
  startupProbe: PROBE,
  lifecycle: fields({ postStart: HANDLER, preStop: HANDLER }),
  terminationMessagePath: "text",
  terminationMessagePolicy: "text",
  imagePullPolicy: "text",
  securityContext: fields({
    privileged: "flag",
    allowPrivilegeEscalation: "flag",
    readOnlyRootFilesystem: "flag",
    runAsUser: "count",
    runAsGroup: "count",
    runAsNonRoot: "flag",
    capabilities: fields({ add: list("text"), drop: list("text") }),
    seccompProfile: PROFILE,
    appArmorProfile: PROFILE,
    procMount: "text",
  }),
  stdin: "flag",
  stdinOnce: "flag",
  tty: "flag",
  targetContainerName: "text",
}, "name");

const CONFIG_MAP = fields({ name: "text", items: ITEMS, defaultMode: "count", optional: "flag" });
const SECRET = fields({
  secretName: "text",
  name: "text",
  items: ITEMS,
  defaultMode: "count",
  optional: "flag",
});
const DOWNWARD = fields({ items: DOWNWARD_ITEMS, defaultMode: "count" });

const VOLUME = fields({
  name: "text",
  emptyDir: fields({ medium: "text" }),
  hostPath: fields({ path: "text", type: "text" }, "path"),
  configMap: CONFIG_MAP,
  secret: SECRET,
  downwardAPI: DOWNWARD,
  projected: fields({
    defaultMode: "count",
    sources: list(
      fields({
        configMap: CONFIG_MAP,
        secret: SECRET,
        downwardAPI: DOWNWARD,
        serviceAccountToken: fields({
          audience: "text",
          expirationSeconds: "count",
          path: "text",
        }),
      }),
    ),
  }),
  persistentVolumeClaim: fields({ claimName: "text", readOnly: "flag" }),
  nfs: fields({ server: "text", path: "text", readOnly: "flag" }),
  ephemeral: fields({}),
}, "name");

const SPEC = fields({
  containers: list(CONTAINER),
  initContainers: list(CONTAINER),
  ephemeralContainers: list(CONTAINER),
  volumes: list(VOLUME),
  restartPolicy: "text",
  terminationGracePeriodSeconds: "whole",
  activeDeadlineSeconds: "count",
  dnsPolicy: "text",
  dnsConfig: fields({
    nameservers: list("text"),
    searches: list("text"),
    options: list(fields({ name: "text", value: "text" }, "name")),
  }),
  nodeSelector: "texts",
  nodeName: "text",
  hostNetwork: "flag",
  hostPID: "flag",
  hostUsers: "flag",
  hostIPC: "flag",
  shareProcessNamespace: "flag",
  hostname: "text",
  subdomain: "text",
  setHostnameAsFQDN: "flag",
  hostAliases: list(fields({ ip: "text", hostnames: list("text") }, "ip")),
  securityContext: fields({
    runAsUser: "count",
    runAsGroup: "count",
    runAsNonRoot: "flag",
    supplementalGroups: list("count"),
    fsGroup: "count",
    fsGroupChangePolicy: "text",
    sysctls: list(fields({ name: "text", value: "text" }, "name", "value")),
    seccompProfile: PROFILE,
    appArmorProfile: PROFILE,
  }),
  imagePullSecrets: list(NAMED),
  serviceAccountName: "text",
  runtimeClassName: "text",
  overhead: "amounts",
  readinessGates: list(fields({ conditionType: "text" }, "conditionType")),
  priorityClassName: "text",
}, "containers");

const METADATA = fields({
  labels: "texts",
  annotations: "texts",
  resourceVersion: "text",
  deletionTimestamp: "text",
  deletionGracePeriodSeconds: "count",
});

/** The first field that is not as it must be, in words; undefined when all are. */
export function shapeProblem(pod: Pod): string | undefined {
  return problemOf(pod.metadata, METADATA, "metadata") ?? problemOf(pod.spec, SPEC, "spec");
}

function problemOf(value: unknown, shape: Shape, path: string): string | undefined {
  if (typeof shape === "string") return leafProblem(value, shape, path);
  if ("list" in shape) {
    if (!Array.isArray(value)) return wrong(path, "a list", value);
    if (value.length > ITEMS_MAX) return `${path} must have at most ${ITEMS_MAX} items`;
    return first(value, (item, index) => problemOf(item, shape.list, `${path}[${index}]`));
  }
  if (!isRecord(value)) return wrong(path, "an object", value);
  const missing = shape.required?.find((key) => value[key] === undefined);
  if (missing !== undefined) return `${path}.${missing} is missing`;
  return first(
    Object.entries(shape.fields),
    ([key, of]) =>
      value[key] === undefined ? undefined : problemOf(value[key], of, `${path}.${key}`),
  );
}

function leafProblem(value: unknown, shape: Shape & string, path: string): string | undefined {
  switch (shape) {
    case "text":
      return textProblem(value, path);
    case "flag":
      return typeof value === "boolean" ? undefined : wrong(path, "true or false", value);
    case "whole":
      return Number.isSafeInteger(value) ? undefined : wrong(path, "a whole number", value);
    case "count":
      return Number.isSafeInteger(value) && Number(value) >= 0
        ? undefined
        : wrong(path, "a whole number, not negative", value);
    case "port":
      return Number.isSafeInteger(value) ? undefined : textProblem(value, path);
    case "texts":
      if (!isRecord(value)) return wrong(path, "a map of texts", value);
      return first(Object.entries(value), ([key, text]) => textProblem(text, `${path}[${key}]`));
    case "amounts":
      if (!isRecord(value)) return wrong(path, "a map of quantities", value);
      return first(
        Object.entries(value),
        ([key, amount]) =>
          typeof amount === "number" ? undefined : textProblem(amount, `${path}[${key}]`),
      );
  }
}

function textProblem(value: unknown, path: string): string | undefined {
  if (typeof value !== "string") return wrong(path, "a text", value);
  return value.includes("\0") ? `${path} must not contain a NUL byte` : undefined;
}

function first<T>(
  items: readonly T[],
  problem: (item: T, index: number) => string | undefined,
): string | undefined {
  for (const [index, item] of items.entries()) {
    const found = problem(item, index);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wrong(path: string, want: string, value: unknown): string {
  const got = (JSON.stringify(value) ?? String(value)).slice(0, 80);
  return `${path} must be ${want}, got ${got}`;
}
