/**
 * pods/log: checks what was asked against the pod, then passes the node's answer through as it
 * comes. The client's going away ends the node's work: the stream is pulled, and cancelled with it.
 */
import type { ContainerStatus, Pod } from "../../shared/k8s/types.ts";
import { type ApiRequest, flag, type Handler, wholeNumber } from "./context.ts";
import { badRequest, notFound } from "./errors.ts";
import { kindId } from "./writer.ts";

const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export const podLog: Handler = async (parts, request) => {
  const { kind, path, query } = request;
  const name = path.name!; // a subresource always has its object's name
  const pod = parts.storage.get(kindId(kind), path.namespace, name) as Pod | undefined;
  if (!pod) throw notFound(kind, name);
  const container = chooseContainer(pod, query.get("container") ?? "");
  const options = logOptions(request);
  const node = pod.spec.nodeName;
  // not placed yet: there is nothing to read, which is not an error
  if (!node) return textResponse(null);
  requireStarted(pod, container, flag(query, "previous"));
  const url = new URL(
    `http://node/containerLogs/${
      [path.namespace ?? "", name, container].map(encodeURIComponent).join("/")
    }`,
  );
  for (const [key, value] of options) url.searchParams.set(key, value);
  const { signal } = request.request;
  const answer = await parts.nodeProxy.fetch(node, new Request(url, { signal }));
  if (answer.ok) return textResponse(answer.body);
  throw badRequest(await firstLine(answer));
};

function textResponse(body: ReadableStream<Uint8Array> | null): Response {
  return new Response(body ?? "", { headers: { "content-type": "text/plain; charset=utf-8" } });
}

/** 4 KiB of a node's complaint: enough to say what is wrong. */
const COMPLAINT_BYTES_MAX = 4096;

async function firstLine(answer: Response): Promise<string> {
  const text = (await answer.text()).slice(0, COMPLAINT_BYTES_MAX).trim();
  return text === "" ? `the node answered ${answer.status}` : text;
}

function namesOf(pod: Pod): string[] {
  const { initContainers = [], containers, ephemeralContainers = [] } = pod.spec;
  return [...initContainers, ...containers, ...ephemeralContainers].map(({ name }) => name);
}

/** The container asked for, or the only or default one; throws 400 in kubectl's words. */
export function chooseContainer(pod: Pod, asked: string): string {
  const name = pod.metadata.name ?? "";
  const names = namesOf(pod);
  if (asked !== "") {
    if (names.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const { containers, initContainers = [] } = pod.spec;
  if (containers.length === 1 && initContainers.length === 0) return containers[0]!.name;
  const annotated = pod.metadata.annotations?.[DEFAULT_CONTAINER];
  if (annotated !== undefined && names.includes(annotated)) return annotated;
  const list = (items: { name: string }[]) => items.map((item) => item.name).join(" ");
  const init = initContainers.length > 0
    ? ` or one of the init containers: [${list(initContainers)}]`
    : "";
  throw badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${
      list(containers)
    }]${init}`,
  );
}

/** The options a kubelet understands, checked. */
function logOptions({ query }: ApiRequest): [string, string][] {
  const options: [string, string][] = [];
  for (const name of ["follow", "previous", "timestamps"]) {
    if (flag(query, name)) options.push([name, "true"]);
  }
  for (const name of ["sinceSeconds", "tailLines", "limitBytes"]) {
    const value = wholeNumber(query, name);
    if (value !== undefined) options.push([name, String(value)]);
  }
  const sinceTime = query.get("sinceTime");
  if (sinceTime) {
    if (query.get("sinceSeconds")) {
      throw badRequest("at most one of sinceTime or sinceSeconds may be specified");
    }
    if (Number.isNaN(Date.parse(sinceTime))) {
      throw badRequest(`sinceTime must be an RFC 3339 time, got "${sinceTime}"`);
    }
    options.push(["sinceTime", sinceTime]);
  }
  const stream = query.get("stream");
  if (stream && stream !== "All") options.push(["stream", stream]);
  return options;
}

/** A container that never ran has no log; says what it waits for, as a kubelet would. */
function requireStarted(pod: Pod, container: string, previous: boolean): void {
  const name = pod.metadata.name ?? "";
  const status = statusOf(pod, container);
  if (previous) {
    if (status?.lastState?.terminated) return;
    throw badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
  }
  if (!status) {
    throw badRequest(
      `container "${container}" in pod "${name}" is waiting to start: ContainerCreating`,
    );
  }
  const { state, lastState } = status;
  if (state?.running || state?.terminated || lastState?.terminated) return;
  const reason = state?.waiting?.reason ?? "no reason given";
  throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ${reason}`);
}

function statusOf(pod: Pod, container: string): ContainerStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } =
    pod.status ?? {};
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses]
    .find(({ name }) => name === container);
}
