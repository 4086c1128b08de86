/** A device through both programs: the cloud's API, the link, the node, and its report back. */
import { assertEquals } from "@std/assert";
import type { Device } from "../../shared/k8s/devices.ts";
import { until } from "../support/until.ts";
import { siteTest } from "./site_test_case.ts";

const MODEL = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "DeviceModel",
  metadata: { name: "thermostat" },
  spec: {
    properties: [
      { name: "target", type: "INT", accessMode: "ReadWrite", minimum: "5", maximum: "30" },
    ],
  },
};

function device(name: string, nodeName: string) {
  return {
    apiVersion: "devices.kubeedge.io/v1beta1",
    kind: "Device",
    metadata: { name },
    spec: {
      deviceModelRef: { name: "thermostat" },
      nodeName,
      properties: [{ name: "target", desired: { value: "21" } }],
    },
  };
}

siteTest(
  "a device goes from kubectl to its node, its status back, and away",
  async ({ site, t }) => {
    const local = async (path = "") => {
      const answer = await site.edge.fetch(`/v1/devices${path}`);
      return await answer.text();
    };
    await t.step("a device before its model reaches the node with it", async () => {
      await site.kubectl.apply(device("heater", "edge-1"));
      await site.kubectl.apply(MODEL);
      await until(async () => (await local()).includes("heater"), {
        what: "the device at the node",
      });
    });
    await t.step("its node reports it", async () => {
      await until(async () => {
        const found = await site.kubectl.getJson("device", "heater") as Device;
        return found.status?.state !== undefined || found.status?.twins !== undefined;
      }, { what: "a status in the cloud" });
    });
    await t.step("a new desired value arrives; a wrong one is refused", async () => {
      const patch = (value: string) => {
        const body = { spec: { properties: [{ name: "target", desired: { value } }] } };
        return site.kubectl.run(["patch", "device", "heater", "-p", JSON.stringify(body)]);
      };
      assertEquals((await patch("31")).code, 1);
      assertEquals((await patch("25")).code, 0);
      const observed = async () => {
        const found = await site.kubectl.getJson("devicestatus", "heater") as Device;
        return found.status?.twins?.[0]?.observedDesired?.value;
      };
      await until(async () => await observed() === "25", { what: "25 seen by the node" });
      assertEquals((await local("/default/heater/twins")).includes('"25"'), true);
    });
    await t.step("moved to another node, it is gone from this one", async () => {
      const body = JSON.stringify({ spec: { nodeName: "elsewhere" } });
      await site.kubectl.must(["patch", "device", "heater", "-p", body]);
      await until(async () => !(await local()).includes("heater"), { what: "the node without it" });
    });
  },
);
