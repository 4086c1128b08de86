import { assertEquals } from "@std/assert";
import type { PodSpec, SecurityProfile } from "../../shared/k8s/types.ts";
import { dotted, kernelRefusal, type KernelRules } from "./kernel_admission.ts";
import { testPod } from "./testing.ts";

const RULES: KernelRules = {
  unsafeSysctls: ["kernel.msg*", "net.core.somaxconn"],
  hasAppArmor: false,
};

function refusal(spec: Partial<PodSpec>, rules: Partial<KernelRules> = {}): string | undefined {
  const pod = testPod("web", "true", (it) => Object.assign(it.spec, spec));
  return kernelRefusal(pod, { ...RULES, ...rules })?.message;
}

Deno.test("kernelRefusal() lets through what is safe or allowed, and the pod's own", () => {
  const asked = (name: string, more: Partial<PodSpec> = {}) =>
    refusal({ securityContext: { sysctls: [{ name, value: "1" }] }, ...more })
      ?.replace("Pod was rejected: forbidden sysctl: ", "");
  const cases: [string, Partial<PodSpec>, string | undefined][] = [
    ["net.ipv4.tcp_syncookies", {}, undefined],
    ["net/ipv4/tcp_syncookies", {}, undefined],
    ["kernel.msgmax", {}, undefined],
    ["net.core.somaxconn", {}, undefined],
    ["net.core.wmem_max", {}, '"net.core.wmem_max" not allowlisted'],
    ["vm.swappiness", {}, '"vm.swappiness" not allowlisted'],
    [
      "net.ipv4.tcp_syncookies",
      { hostNetwork: true },
      '"net.ipv4.tcp_syncookies" not allowed with host net enabled',
    ],
    ["kernel.msgmax", { hostIPC: true }, '"kernel.msgmax" not allowed with host ipc enabled'],
  ];
  for (const [name, spec, wanted] of cases) assertEquals(asked(name, spec), wanted);
});

Deno.test("kernelRefusal() refuses AppArmor where there is none, unless it is not wanted", () => {
  const profile = (type: SecurityProfile["type"]) => ({
    securityContext: { appArmorProfile: { type } },
  });
  const words = "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host";
  assertEquals(refusal(profile("RuntimeDefault")), words);
  assertEquals(refusal(profile("Unconfined")), undefined);
  assertEquals(refusal(profile("RuntimeDefault"), { hasAppArmor: true }), undefined);
});

Deno.test("dotted() reads both ways to write a parameter", () => {
  assertEquals(dotted("net.ipv4.conf.eth0/1.x"), "net.ipv4.conf.eth0/1.x");
  assertEquals(dotted("net/ipv4/conf/eth0.1/x"), "net.ipv4.conf.eth0/1.x");
});
