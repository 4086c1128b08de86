/** Hooks, probes over the network and the order of an end, on real containers. */
import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import type { Container, Lifecycle, Pod } from "../../shared/k8s/types.ts";
import { BUSYBOX_IMAGE } from "../support/images.ts";
import { HealthServer } from "../support/health_server.ts";
import { until } from "../support/until.ts";
import { podManifest } from "./manifests.ts";
import { type SiteContext, siteTest } from "./site_test_case.ts";

siteTest("hooks, probes and the order of an end", async (context) => {
  const { t } = context;
  await t.step("postStart and preStop over HTTP; preStop that sleeps", () => hooks(context));
  await t.step("gRPC readiness follows its service", () => grpc(context));
  await t.step("sidecars start before and end after what they serve", () => sidecars(context));
});

async function hooks({ site }: SiteContext): Promise<void> {
  const heard: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (req) => {
    heard.push(new URL(req.url).pathname);
    return new Response("ok");
  });
  const get = (path: string) => ({
    httpGet: { host: "127.0.0.1", port: server.addr.port, path },
  });
  const lifecycle: Lifecycle = { postStart: get("/started"), preStop: get("/stopping") };
  await site.kubectl.apply(podManifest("told", { container: { lifecycle } }));
  const sleeps = { lifecycle: { preStop: { sleep: { seconds: 2 } } } } as Partial<Container>;
  const spec = { terminationGracePeriodSeconds: 20 };
  await site.kubectl.apply(podManifest("sleepy", { container: sleeps, spec }));
  for (const name of ["told", "sleepy"]) await site.podRuns(name);
  assertEquals(heard, ["/started"]);
  const clock = new SystemClock();
  const startedMs = clock.monotonicMs();
  await site.kubectl.must(["delete", "pod", "told", "sleepy"]);
  const tookMs = clock.monotonicMs() - startedMs;
  assertEquals(heard, ["/started", "/stopping"]);
  assert(tookMs >= 2_000 && tookMs < 18_000, `the deletion took ${tookMs} ms`);
}

async function grpc({ site }: SiteContext): Promise<void> {
  await using server = await HealthServer.start();
  const readinessProbe = {
    grpc: { port: server.port, service: "web" },
    periodSeconds: 1,
    failureThreshold: 2,
  };
  await site.kubectl.apply(podManifest("served", {
    container: { readinessProbe },
    spec: { hostNetwork: true, dnsPolicy: "Default", terminationGracePeriodSeconds: 0 },
  }));
  const isReady = (wanted: string) => ({ status }: Pod) =>
    status?.conditions?.some(({ type, status }) => type === "Ready" && status === wanted) ?? false;
  await site.podRuns("served");
  await until(() => server.asked.length > 0, { what: "the first question" });
  assertEquals(isReady("False")(await site.cloud.pod("served")), true);
  server.serving = true;
  await site.podIs("served", "ready", isReady("True"));
  server.serving = false;
  await site.podIs("served", "unready", isReady("False"));
  assertEquals([...new Set(server.asked)], ["web"]);
}

async function sidecars({ site }: SiteContext): Promise<void> {
  const dir = join(site.dir, "order");
  await Deno.mkdir(dir);
  const volumeMounts = [{ name: "host", mountPath: "/host" }];
  const container = (name: string, more: Partial<Container> = {}): Container => ({
    name,
    image: BUSYBOX_IMAGE,
    command: [
      ...["sh", "-c"],
      `echo ${name} up >> /host/log; trap 'echo ${name} down >> /host/log; exit 0' TERM; ` +
      "while :; do sleep 0.1 & wait $!; done",
    ],
    volumeMounts,
    ...more,
  });
  const restartPolicy = "Always" as const;
  await site.kubectl.apply(podManifest("family", {
    spec: {
      terminationGracePeriodSeconds: 20,
      initContainers: [
        container("first", { restartPolicy }),
        container("second", { restartPolicy }),
      ],
      containers: [container("main")],
      volumes: [{ name: "host", hostPath: { path: dir } }],
    },
  }));
  const log = async () => (await Deno.readTextFile(join(dir, "log"))).trimEnd().split("\n");
  await site.podRuns("family");
  await until(async () => (await log()).length === 3, { what: "all three to be up" });
  await site.kubectl.must(["delete", "pod", "family"]);
  assertEquals(await log(), [
    "first up",
    "second up",
    "main up",
    "main down",
    "second down",
    "first down",
  ]);
}
