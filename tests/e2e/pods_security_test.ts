/** What a container may do, as the kernel tells it from the inside. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import type { Container, ContainerSecurityContext, PodSpec } from "../../shared/k8s/types.ts";
import { lacksSysResource } from "../support/containerd_config.ts";
import { BUSYBOX_IMAGE } from "../support/images.ts";
import { podManifest } from "./manifests.ts";
import { type SiteContext, siteTest } from "./site_test_case.ts";

const STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'";
/** What runtimes leave a container that names none: 14 capabilities. */
const USUAL = "CapEff:00000000a80425fb";
const NO_MKDIR = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
};

interface Case {
  script?: string;
  securityContext: ContainerSecurityContext;
  lines: string[];
}

const CASES: Record<string, Case> = {
  usual: { securityContext: {}, lines: [USUAL, "NoNewPrivs:0", "Seccomp:0"] },
  few: {
    securityContext: {
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      allowPrivilegeEscalation: false,
      seccompProfile: { type: "RuntimeDefault" },
    },
    lines: ["CapEff:0000000000001000", "NoNewPrivs:1", "Seccomp:2"],
  },
  user: {
    script: "id -u; id -g; grep ^CapEff /proc/self/status | tr -d '\\t'",
    securityContext: { runAsUser: 1_234, runAsGroup: 99, runAsNonRoot: true },
    lines: ["1234", "99", "CapEff:0000000000000000"],
  },
  profile: {
    script: "mkdir /x 2>&1",
    securityContext: {
      seccompProfile: { type: "Localhost", localhostProfile: "deny/mkdir.json" },
    },
    lines: ["mkdir: can't create directory '/x': Operation not permitted"],
  },
  frozen: {
    script: "touch /x 2>&1; touch /dev/shm/x && echo written",
    securityContext: { readOnlyRootFilesystem: true },
    lines: ["touch: /x: Read-only file system", "written"],
  },
  proc: {
    script: "echo 1 > /proc/sys/kernel/panic; wc -c < /proc/timer_list",
    securityContext: {},
    lines: ["sh: can't create /proc/sys/kernel/panic: Read-only file system", "0"],
  },
};

siteTest("a container may do what its security context says, and no more", async (context) => {
  const { t } = context;
  await t.step("capabilities, seccomp, users, file systems, proc", () => contexts(context));
  await t.step("privileged: all of them, and the devices", () => privileged(context));
  await t.step("sysctls: the safe ones are set, others refuse the pod", () => sysctls(context));
  await t.step("who is killed last: oom scores by QoS", () => oomScores(context));
  await t.step("a profile that is not there holds the container back", () => lost(context));
});

async function contexts({ site }: SiteContext): Promise<void> {
  const folder = join(site.edgeDir, "seccomp", "deny");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(join(folder, "mkdir.json"), JSON.stringify(NO_MKDIR));
  const containers = Object.entries(CASES).map(([name, { script = STATUS, securityContext }]) => ({
    name,
    image: BUSYBOX_IMAGE,
    command: ["sh", "-c", `exec 2>&1; ${script}`],
    securityContext,
  } as Container));
  await ends(site, "contexts", { containers });
  for (const [name, { lines }] of Object.entries(CASES)) {
    const printed = await site.kubectl.must(["logs", "contexts", "-c", name]);
    assertEquals([name, ...printed.trimEnd().split("\n")], [name, ...lines]);
  }
}

/** Applies a pod that ends by itself; gives its log where it has one container. */
async function ends(
  site: SiteContext["site"],
  name: string,
  spec: Partial<PodSpec>,
  parts: { script?: string; container?: Partial<Container> } = {},
): Promise<string> {
  const manifest = podManifest(name, { ...parts, spec: { restartPolicy: "Never", ...spec } });
  await site.kubectl.apply(manifest);
  await site.podIs(name, "ended", ({ status }) => /Succeeded|Failed/.test(status?.phase ?? ""));
  return spec.containers ? "" : await site.kubectl.must(["logs", name]);
}

async function privileged({ site }: SiteContext): Promise<void> {
  const printed = await ends(site, "mighty", {}, {
    script: `${STATUS}; ls /dev | wc -l`,
    container: { securityContext: { privileged: true } },
  });
  const [caps = "", nnp, seccomp, devices] = printed.trimEnd().split("\n");
  const own = /^CapBnd:\s*(\w+)$/m.exec(await Deno.readTextFile("/proc/self/status"))?.[1];
  assertEquals([caps, nnp, seccomp], [`CapEff:${own}`, "NoNewPrivs:0", "Seccomp:0"]);
  assert(Number(devices) >= [...Deno.readDirSync("/dev")].length - 5, devices);
}

async function sysctls({ site }: SiteContext): Promise<void> {
  const name = "net.ipv4.ip_unprivileged_port_start";
  const path = `/proc/sys/${name.replaceAll(".", "/")}`;
  const securityContext = { sysctls: [{ name, value: "81" }] };
  assertEquals(await ends(site, "tuned", { securityContext }, { script: `cat ${path}` }), "81\n");
  const unsafe = { sysctls: [{ name: "kernel.msgmax", value: "65536" }] };
  await site.kubectl.apply(podManifest("unsafe", { spec: { securityContext: unsafe } }));
  const { status } = await site.podIs("unsafe", "refused", (pod) => pod.status?.phase === "Failed");
  assertEquals([status?.reason, status?.message], [
    "SysctlForbidden",
    'Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted',
  ]);
}

async function oomScores({ site }: SiteContext): Promise<void> {
  const script = "cat /proc/self/oom_score_adj";
  const amounts = { cpu: "10m", memory: "16Mi" };
  const resources = { requests: amounts, limits: amounts };
  const scores = [];
  for (const [name, container] of Object.entries({ sure: { resources }, best: {} })) {
    scores.push((await ends(site, name, {}, { script, container })).trim());
  }
  // a runtime that is itself fenced in gives no less than it has
  const isFenced = lacksSysResource(await Deno.readTextFile("/proc/self/status"));
  const own = (await Deno.readTextFile("/proc/self/oom_score_adj")).trim();
  assertEquals(scores, [isFenced ? own : "-997", "1000"]);
}

async function lost({ site }: SiteContext): Promise<void> {
  const seccompProfile = { type: "Localhost", localhostProfile: "none.json" } as const;
  await site.kubectl.apply(
    podManifest("lost", { container: { securityContext: { seccompProfile } } }),
  );
  const pod = await site.podIs(
    "lost",
    "waiting",
    ({ status }) =>
      status?.containerStatuses?.[0]?.state?.waiting?.reason === "CreateContainerError",
  );
  assertMatch(pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "", /none\.json/);
}
