/**
 * The story of the demo, step by step. Every step acts on the real programs and checks what it
 * shows: a step whose claim does not hold ends the story.
 */
import { fromFileUrl, relative } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { AppError } from "../../shared/errors.ts";
import type { KubeList, Pod } from "../../shared/k8s/types.ts";
import { must, run } from "../../tests/support/process.ts";
import type { Site } from "../../tests/support/site.ts";
import { identityOf } from "../../tests/support/site_clients.ts";
import { until } from "../../tests/support/until.ts";
import { type ClusterHand, clusterHand } from "./cluster_hand.ts";
import type { Teller } from "./teller.ts";

const POD = "lighthouse";
const POD_FILE = relative(Deno.cwd(), fromFileUrl(new URL("./pod.yaml", import.meta.url)));

export interface StoryOptions {
  readonly site: Site;
  readonly teller: Teller;
  /** Leave the pod and everything else up at the end. */
  readonly keep: boolean;
}

export async function tellStory({ site, teller, keep }: StoryOptions): Promise<void> {
  await startRuntime(site, teller);
  const hand = await startPrograms(site, teller);
  await applyPod(site, teller, hand);
  await cutLink(site, teller, hand);
  await restartEdge(site, teller);
  await healLink(site, teller, hand);
  if (!keep) await deletePod(site, teller, hand);
}

async function startRuntime(site: Site, teller: Teller): Promise<void> {
  const version = (await must("containerd", ["--version"])).split(" ")[2] ?? "";
  teller.begin(`A private containerd ${version} with its own images and pod network.`);
  await site.startContainerd();
  teller.output((await site.containerd.ctr("images", "ls", "-q")).replaceAll(/^sha256:.*\n/gm, ""));
}

async function startPrograms(site: Site, teller: Teller): Promise<ClusterHand> {
  const listen = ["api", "hub", "admin"].map((name) => `--${name}-listen 127.0.0.1:0`).join(" ");
  teller.begin("The cloud: a Kubernetes API on its own store, and the hub that nodes dial.");
  teller.command(`skerry-cloud run --data-dir ${site.cloudDir} ${listen}`);
  await site.startCloud();
  teller.output(`Kubernetes API on ${site.cloud.server}, hub on ${site.cloud.listen.hub}`);

  teller.begin(`The edge joins through a link (127.0.0.1:${site.relay.port}) that can be cut.`);
  teller.command(`skerry-cloud token create --data-dir ${site.cloudDir}`);
  const token = await site.createToken();
  teller.output(`${token.slice(0, 28)}…`);
  teller.command(`skerry-edge ${site.joinArgs("$TOKEN").join(" ")}`);
  const joined = await site.join(site.joinArgs(token));
  if (joined.code !== 0) throw new AppError("internal", joined.stderr.trim());
  teller.command(`skerry-edge ${site.edgeRunArgs().join(" ")}`);
  await site.startEdge();
  await site.nodeIs("True");
  teller.command(`export KUBECONFIG=${site.kubeconfig}`);
  const hand = await clusterHand(site, teller);
  if (hand.name === "curl") teller.note("No kubectl is to be had here: curl does its work.");
  await hand.nodes();
  return hand;
}

async function applyPod(site: Site, teller: Teller, hand: ClusterHand): Promise<void> {
  const clock = new SystemClock();
  teller.begin(`A sample pod (${POD_FILE}), applied with plain ${hand.name}.`);
  const startMs = clock.monotonicMs();
  await hand.apply(POD_FILE);
  await site.podRuns(POD);
  teller.note(`Running ${((clock.monotonicMs() - startMs) / 1000).toFixed(1)} s later:`);
  await hand.pod(POD);

  teller.begin(
    "The same pod is a real container: its task in containerd, beside the pod's sandbox.",
  );
  await showTasks(site, teller);

  teller.begin("Its log, by way of the cloud.");
  await flashes(site, 2);
  await hand.log(POD);
}

async function cutLink(site: Site, teller: Teller, hand: ClusterHand): Promise<void> {
  teller.begin("The link is cut. The site answers for itself:");
  await site.relay.cut();
  await until(async () => await site.edge.linkState() !== "live", {
    what: "the edge to notice the cut",
    timeoutMs: 60_000,
  });
  await showLocal(site, teller);
  teller.note("The cloud notices that the node is away, and leaves its pods alone:");
  await site.nodeIs("Unknown");
  await hand.nodes();
}

async function restartEdge(site: Site, teller: Teller): Promise<void> {
  const before = identityOf(await site.edge.pod(POD));
  const seen = lastFlash(await logOf(site));
  teller.begin("The edge is killed (SIGKILL) and started again, with the link still cut.");
  teller.command(`kill -9 ${site.edgeProcess.pid}; skerry-edge ${site.edgeRunArgs().join(" ")}`);
  await site.killEdge();
  await site.startEdge();
  const after = await until(async () => {
    const identity = identityOf(await site.edge.pod(POD));
    return identity.startedAt !== "" && identity;
  }, { what: "the pod in the restarted edge", timeoutMs: 30_000 });
  await flashes(site, seen + 1);
  teller.output(`before  ${describe(before)}`);
  teller.output(`after   ${describe(after)}`);
  if (describe(before) !== describe(after)) {
    throw new AppError("internal", "The container was restarted, it should have been adopted");
  }
  teller.note("The same container, started when it was: adopted, not restarted.");
  await showLocal(site, teller);
}

async function healLink(site: Site, teller: Teller, hand: ClusterHand): Promise<void> {
  teller.begin("The link is healed, and the node is Ready again, with the pod it kept running.");
  site.relay.heal();
  await site.nodeIs("True");
  await hand.nodes();
  await hand.pod(POD);
}

async function deletePod(site: Site, teller: Teller, hand: ClusterHand): Promise<void> {
  teller.begin("The pod is deleted, and its container is gone.");
  await hand.remove(POD);
  await site.podGone(POD);
  await until(async () => (await site.containerd.containers()).length === 0, {
    what: "containerd without containers",
  });
  await showTasks(site, teller);
}

async function showTasks(site: Site, teller: Teller): Promise<void> {
  const socket = site.containerd.socket;
  await teller.act(
    `ctr -a ${socket} -n k8s.io tasks ls`,
    run("ctr", ["-a", socket, "-n", "k8s.io", "tasks", "ls"]),
  );
}

/** Asks the edge's own API with curl for the pods it holds and for the pod's log. */
async function showLocal(site: Site, teller: Teller): Promise<void> {
  const pods = `${site.edge.url}/api/v1/pods`;
  teller.command(`curl -s ${pods}`);
  const list: KubeList<Pod> = JSON.parse(await must("curl", ["-s", pods]));
  const pod = list.items.find(({ metadata }) => metadata.name === POD);
  if (!pod) throw new AppError("not_found", `${pods} does not list pod ${POD}`);
  const { kind, items } = list;
  teller.output(
    `{"kind":"${kind}","items":[…]} with ${items.length} pod: ${POD}, ` +
      `phase ${pod.status?.phase}`,
  );
  teller.output(describe(identityOf(pod)));
  const log = `${site.edge.url}/api/v1/namespaces/default/pods/${POD}/log?tailLines=2`;
  await teller.act(`curl -s '${log}'`, run("curl", ["-sf", log]));
  teller.output(`link: ${await site.edge.linkState()}`);
}

function describe({ id, startedAt, restarts }: ReturnType<typeof identityOf>): string {
  return `container ${id.replace("containerd://", "").slice(0, 16)}  started ${startedAt}  ` +
    `restarts ${restarts}`;
}

function logOf(site: Site): Promise<string> {
  return site.edge.text(`/api/v1/namespaces/default/pods/${POD}/log`);
}

/** Waits until the container has said at least `count` things. */
async function flashes(site: Site, count: number): Promise<void> {
  await until(async () => lastFlash(await logOf(site)) >= count, {
    what: `line ${count} of the log`,
    timeoutMs: 30_000,
  });
}

function lastFlash(log: string): number {
  return Number(/flash (\d+) .*\n*$/.exec(log)?.[1] ?? 0);
}
