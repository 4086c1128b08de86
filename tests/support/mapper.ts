/**
 * A mapper as a program of its own: serves DeviceMapperService on its socket, registers at the
 * edge, and writes every call it gets as one line. `--register no` only serves; `--hang NAME` never
 * answers calls for that device; `--late MS` registers so long before it listens.
 */
import net from "node:net";
import http2 from "node:http2";
import { parseArgs } from "@std/cli/parse-args";
import { createClient } from "@connectrpc/connect";
import { connectNodeAdapter, createGrpcTransport } from "@connectrpc/connect-node";
import { SystemClock } from "../../shared/clock.ts";
import { DeviceManagerService, DeviceMapperService } from "../../shared/gen/v1beta1/api_pb.ts";

const flags = parseArgs(Deno.args, { string: ["edge", "listen", "register", "hang", "late"] });
const clock = new SystemClock();
const { hang } = flags;
const [edge, listen] = [String(flags.edge ?? ""), String(flags.listen ?? "")];
const late = String(flags.late ?? "0");

async function got(call: string, name: string, detail = ""): Promise<void> {
  console.log(`${call} ${name}${detail === "" ? "" : ` ${detail}`}`);
  if (name === hang) await new Promise(() => {});
}

type Properties = readonly { name: string; desired?: { value: string } | undefined }[];

function desired(properties: Properties = []): string {
  return properties.map((each) => `${each.name}=${each.desired?.value ?? ""}`).join(",");
}

async function serve(): Promise<void> {
  await Deno.remove(listen).catch(() => {}); // absent at the first start
  const server = http2.createServer(connectNodeAdapter({
    routes: (router) =>
      void router.service(DeviceMapperService, {
        registerDevice: async ({ device }) => {
          await got("RegisterDevice", device?.name ?? "", desired(device?.spec?.properties));
          return {};
        },
        updateDevice: async ({ device }) => {
          await got("UpdateDevice", device?.name ?? "", desired(device?.spec?.properties));
          return {};
        },
        removeDevice: async ({ deviceName }) => {
          await got("RemoveDevice", deviceName);
          return {};
        },
        createDeviceModel: async ({ model }) => {
          await got("CreateDeviceModel", model?.name ?? "");
          return {};
        },
        updateDeviceModel: async ({ model }) => {
          await got("UpdateDeviceModel", model?.name ?? "");
          return {};
        },
        removeDeviceModel: async ({ modelName }) => {
          await got("RemoveDeviceModel", modelName);
          return {};
        },
      }),
  }));
  await new Promise<void>((resolve) => server.listen(listen, resolve));
  console.log("listening");
}

async function register(): Promise<void> {
  const transport = createGrpcTransport({
    baseUrl: "http://localhost",
    nodeOptions: { createConnection: () => net.connect(edge) },
  });
  const { modelList, deviceList } = await createClient(DeviceManagerService, transport)
    .mapperRegister({
      withData: true,
      mapper: {
        name: "test",
        version: "1",
        apiVersion: "v1beta1",
        protocol: "acme",
        address: new TextEncoder().encode(listen),
      },
    });
  const devices = deviceList.map(({ name, spec }) => `${name} ${desired(spec?.properties)}`);
  console.log(`registered models=${modelList.length} devices=${devices.sort().join(";")}`);
}

if (flags.register === "no") {
  await serve();
} else if (late === "0") {
  await serve();
  await register();
} else {
  await register();
  await clock.sleep(Number(late));
  await serve();
}
