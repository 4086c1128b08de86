import { assertEquals } from "@std/assert";
import { AppError } from "../../shared/errors.ts";
import { SYSTEM } from "./authorize.ts";
import type { NodeProxy } from "./port.ts";
import { samplePod, type TestServer, testServer } from "./testing.ts";

const PODS = "/api/v1/namespaces/default/pods";
const MERGE = { headers: { "content-type": "application/merge-patch+json" } };

async function withPod(nodeProxy: NodeProxy, containers = ["main"]): Promise<TestServer> {
  const api = await testServer({ nodeProxy });
  const spec = {
    containers: containers.map((name) => ({ name, image: "registry.example/app:1" })),
  };
  await api.call("POST", PODS, samplePod("a", { spec }), { expect: 201 });
  await api.call("POST", `${PODS}/a/binding`, { target: { name: "edge-1" } }, { expect: 201 });
  return api;
}

async function setState(api: TestServer, name: string, more: Record<string, unknown>) {
  const one = { name, ready: false, restartCount: 0, image: "x", imageID: "", ...more };
  const status = { containerStatuses: [one] };
  await api.call("PATCH", `${PODS}/a/status`, { status }, { ...MERGE, expect: 200 });
}

const echo: NodeProxy = {
  fetch: (node, { url }) => Promise.resolve(new Response(`${node} ${new URL(url).pathname}`)),
};
const running = { state: { running: { startedAt: "2026-01-01T00:00:00Z" } } };

Deno.test("log: an unplaced pod has an empty one", async () => {
  await using api = await testServer({ nodeProxy: echo });
  await api.call("POST", PODS, samplePod("a"), { expect: 201 });
  assertEquals((await api.call("GET", `${PODS}/a/log`, undefined, { expect: 200 })).body, "");
  await api.call("GET", `${PODS}/none/log`, undefined, { expect: 404 });
});

Deno.test("log: says why there is none yet", async () => {
  await using api = await withPod(echo);
  const complaint = async (query = "") =>
    (await api.call("GET", `${PODS}/a/log${query}`, undefined, { expect: 400 })).body.message;
  const waiting = 'container "main" in pod "a" is waiting to start: ';
  assertEquals(await complaint(), `${waiting}ContainerCreating`);
  await setState(api, "main", { state: { waiting: { reason: "ImagePullBackOff" } } });
  assertEquals(await complaint(), `${waiting}ImagePullBackOff`);
  await setState(api, "main", running);
  assertEquals(
    await complaint("?previous=true"),
    'previous terminated container "main" in pod "a" not found',
  );
  assertEquals(await complaint("?container=x"), "container x is not valid for pod a");
  assertEquals(
    await complaint("?tailLines=-1"),
    'invalid value for tailLines: must be a whole number >= 0, got "-1"',
  );
  await complaint("?sinceTime=yesterday");
  await complaint("?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z");
});

Deno.test("log: of several containers one must be chosen, or annotated", async () => {
  await using api = await withPod(echo, ["one", "two"]);
  await setState(api, "two", running);
  const { body } = await api.call("GET", `${PODS}/a/log`, undefined, { expect: 400 });
  assertEquals(
    body.message,
    "a container name must be specified for pod a, choose one of: [one two]",
  );
  const annotations = { "kubectl.kubernetes.io/default-container": "two" };
  await api.call("PATCH", `${PODS}/a`, { metadata: { annotations } }, MERGE);
  const log = await api.call("GET", `${PODS}/a/log`, undefined, { expect: 200 });
  assertEquals(log.body, "edge-1 /containerLogs/default/a/two");
});

Deno.test("log: the node's refusal is the answer, its absence is 503", async () => {
  let answer = () => Promise.resolve(new Response("file is gone\n", { status: 404 }));
  await using api = await withPod({ fetch: () => answer() });
  await setState(api, "main", running);
  const refused = await api.call("GET", `${PODS}/a/log`, undefined, { expect: 400 });
  assertEquals(refused.body.message, "file is gone");
  answer = () => Promise.reject(new AppError("unavailable", "Cannot reach node edge-1"));
  const away = await api.call("GET", `${PODS}/a/log`, undefined, { expect: 503 });
  assertEquals(away.body.reason, "ServiceUnavailable");
});

Deno.test("log: comes as it is read, and ends with its reader", async () => {
  let pulls = 0;
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      controller.enqueue(new TextEncoder().encode(`line ${++pulls}\n`));
    },
    cancel: () => cancelled.resolve(),
  }, { highWaterMark: 0 });
  let signal: AbortSignal | undefined;
  await using api = await withPod({
    fetch: (_node, request) => {
      signal = request.signal;
      return Promise.resolve(new Response(body));
    },
  });
  await setState(api, "main", running);
  const reader = new AbortController();
  const response = await api.server.fetchAs(SYSTEM)(`http://test${PODS}/a/log?follow=true`, {
    signal: reader.signal,
  });
  const lines = response.body!.getReader();
  assertEquals(new TextDecoder().decode((await lines.read()).value), "line 1\n");
  assertEquals(pulls, 1);
  reader.abort();
  assertEquals(signal?.aborted, true);
  await lines.cancel();
  await cancelled.promise;
});
