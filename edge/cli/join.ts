/**
 * `join`: from a token to a node. It enrols, writes identity and config, and, where systemd is,
 * writes the unit and starts it; with `--no-systemd` it ends once `<data-dir>/edge.yaml` is
 * written.
 */
import { join, resolve } from "@std/path";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeError } from "../../shared/cli/run_program.ts";
import { unitText, writeUnitFile } from "../../shared/cli/systemd.ts";
import { formatConfig } from "../../shared/config.ts";
import { AppError } from "../../shared/errors.ts";
import { writeFileAtomic } from "../../shared/files.ts";
import { EDGE_CONFIG_KIND, type EdgeConfig, edgeConfigSchema } from "../config.ts";
import { parseRuntimeEndpoint } from "../cri/endpoint.ts";
import { writeIdentity } from "../identity_files.ts";
import { enrollAtAny } from "../link/enroll.ts";
import { DEFAULT_CONFIG_FILE, DEFAULT_DATA_DIR } from "./settings.ts";

export const SYSTEMD_UNIT = "/etc/systemd/system/skerry-edge.service";

export const JOIN_COMMAND: CommandSpec = {
  name: "join",
  summary: "Make this machine a node of a cloud",
  flags: [
    { name: "cloud", value: "HOST:PORT", help: "The cloud's hub; several, separated by commas" },
    { name: "token", value: "TOKEN", help: "Join token, by `skerry-cloud token create`" },
    { name: "node-name", value: "NAME", help: "Name of the node (default: this host's name)" },
    {
      name: "runtime-endpoint",
      value: "unix:///PATH",
      help: "CRI socket (default unix:///run/containerd/containerd.sock)",
    },
    { name: "labels", value: "K=V,…", help: "Labels of the node" },
    { name: "data-dir", value: "DIR", help: `Data folder (default ${DEFAULT_DATA_DIR})` },
    { name: "pod-logs-dir", value: "DIR", help: "Folder of pod logs (default /var/log/pods)" },
    {
      name: "pod-manifest-path",
      value: "DIR",
      help: "Folder of pods to run from files, with or without a cloud (default: none)",
    },
    { name: "api-listen", value: "HOST:PORT", help: "Local API (default 127.0.0.1:10550)" },
    {
      name: "api-tls-listen",
      value: "HOST:PORT",
      help: "Local API over TLS (default: the port after --api-listen)",
    },
    { name: "mqtt-listen", value: "HOST:PORT", help: "MQTT broker (default 127.0.0.1:1883)" },
    {
      name: "mqtt-mode",
      value: "MODE",
      help: "embedded, external, both or off (default embedded, external with --mqtt-external)",
    },
    {
      name: "mqtt-external",
      value: "URL",
      help: "Broker beside the edge, mqtt://HOST:PORT or mqtts://HOST:PORT",
    },
    {
      name: "dmi-socket",
      value: "FILE",
      help: "Socket for mappers (default /run/skerry/dmi.sock)",
    },
    { name: "no-systemd", help: "Write no unit and start nothing" },
    { name: "force", help: "Join again over an identity that is already there" },
  ],
  run: joinCloud,
};

async function joinCloud(invocation: Invocation, signal: AbortSignal): Promise<number> {
  const addresses = required(invocation, "cloud").split(",");
  const token = required(invocation, "token");
  const nodeName = invocation.flag("node-name") ?? Deno.hostname().toLowerCase();
  const dataDir = invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  const noSystemd = invocation.isSet("no-systemd");
  const file = noSystemd ? join(dataDir, "edge.yaml") : DEFAULT_CONFIG_FILE;
  const config = newConfig(invocation, { nodeName, dataDir, addresses });
  if (!invocation.isSet("force")) await refuseSecondJoin(dataDir);
  await warnWithoutRuntime(config.runtime.endpoint);

  writeError(`Joining ${addresses.join(", ")} as node ${nodeName}`);
  const enrolled = await enrollAtAny({ addresses, token, nodeName }, signal);
  const known = [...new Set([...addresses, ...enrolled.addresses])];
  await Deno.mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeIdentity(dataDir, enrolled);
  const text = formatConfig(EDGE_CONFIG_KIND, { ...config, cloud: { addresses: known } });
  await Deno.mkdir(join(file, ".."), { recursive: true });
  await writeFileAtomic(file, text, 0o600);
  writeError(`Node ${nodeName} is enrolled; config is ${file}`);
  if (noSystemd) {
    writeError(`Start it with: skerry-edge run --data-dir ${dataDir}`);
    return 0;
  }
  await startUnit(file);
  return 0;
}

function newConfig(
  invocation: Invocation,
  base: { nodeName: string; dataDir: string; addresses: string[] },
): EdgeConfig {
  const api = {
    ...only("listen", invocation.flag("api-listen")),
    ...only("tlsListen", invocation.flag("api-tls-listen")),
  };
  const given = (flag: string, section: string, key: string): Record<string, object> => {
    const value = invocation.flag(flag);
    return value === undefined ? {} : { [section]: { [key]: value } };
  };
  const config = edgeConfigSchema({
    nodeName: base.nodeName,
    dataDir: base.dataDir,
    labels: parseLabels(invocation.flag("labels")),
    cloud: { addresses: base.addresses },
    ...given("runtime-endpoint", "runtime", "endpoint"),
    ...givenPods(invocation),
    api,
    ...givenMqtt(invocation),
    ...given("dmi-socket", "dmi", "socket"),
  }, "");
  parseRuntimeEndpoint(config.runtime.endpoint);
  return config;
}

/** Flags that are keys of one section must be put together. */
function givenPods(invocation: Invocation): Record<string, object> {
  const manifests = invocation.flag("pod-manifest-path");
  return {
    pods: {
      ...only("logsDir", invocation.flag("pod-logs-dir")),
      // whoever runs the node later may do so from another folder
      ...only("staticPath", manifests === undefined ? undefined : resolve(manifests)),
    },
  };
}

function givenMqtt(invocation: Invocation): Record<string, object> {
  const url = invocation.flag("mqtt-external");
  const mode = invocation.flag("mqtt-mode") ?? (url === undefined ? undefined : "external");
  return {
    mqtt: {
      ...only("listen", invocation.flag("mqtt-listen")),
      ...only("mode", mode),
      ...(url === undefined ? {} : { external: { url } }),
    },
  };
}

function only(key: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [key]: value };
}

function required(invocation: Invocation, flag: string): string {
  const value = invocation.flag(flag);
  if (value === undefined) {
    throw new UsageError(`flag --${flag} is needed; see skerry-edge join --help`);
  }
  return value;
}

function parseLabels(text: string | undefined): Record<string, string> {
  if (text === undefined) return {};
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const [key = "", value] = pair.split("=", 2);
      if (key === "" || value === undefined) {
        throw new UsageError(`flag --labels must be like k=v,k=v, got "${pair}"`);
      }
      return [key, value];
    }),
  );
}

async function refuseSecondJoin(dataDir: string): Promise<void> {
  const certificate = join(dataDir, "pki", "node.crt");
  try {
    await Deno.stat(certificate);
  } catch {
    return; // not joined yet
  }
  throw new AppError(
    "already_exists",
    `Cannot join: ${certificate} is there already; leave with skerry-edge reset, ` +
      `or take a new identity and keep the state with --force`,
  );
}

/** A runtime may be started later; the operator still wants to know now. */
async function warnWithoutRuntime(endpoint: string): Promise<void> {
  try {
    await Deno.stat(parseRuntimeEndpoint(endpoint));
  } catch {
    writeError(`Warning: there is no container runtime at ${endpoint} yet`);
  }
}

async function startUnit(configFile: string): Promise<void> {
  const text = unitText({
    description: "Skerry edge: pods and devices of this node",
    arguments: ["run", "--config", configFile],
    after: "network-online.target containerd.service",
  });
  if (await writeUnitFile(SYSTEMD_UNIT, text)) writeError(`Wrote ${SYSTEMD_UNIT}`);
  for (const args of [["daemon-reload"], ["enable", "skerry-edge"], ["restart", "skerry-edge"]]) {
    const { success, stderr } = await new Deno.Command("systemctl", { args }).output();
    if (!success) {
      const why = new TextDecoder().decode(stderr).trim();
      throw new AppError(
        "unavailable",
        `Cannot start the unit: systemctl ${args.join(" ")}: ${why}`,
      );
    }
  }
  writeError("Started skerry-edge");
}
