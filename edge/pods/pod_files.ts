/**
 * The small files kubelet gives every container besides its volumes: /etc/hosts of the pod and the
 * file a termination message is written to. And reading that message back.
 */
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { TERMINATION_MESSAGE_PATH } from "./marks.ts";
import { podHostname } from "./to_cri.ts";
import type { MountInit } from "./to_cri.ts";

const MESSAGE_BYTES_MAX = 4096;
const LOG_TAIL_BYTES_MAX = 2048;
const LOG_TAIL_LINES_MAX = 80;

export interface HostsInput {
  podIps: readonly string[];
  clusterDomain: string;
  /** Content of the host's own file, for pods on the host's network. */
  hostFile: string;
}

/** Pure: the text of /etc/hosts. */
export function etcHosts(pod: Pod, input: HostsInput): string {
  const aliases = (pod.spec.hostAliases ?? []).map(({ ip, hostnames }) =>
    [ip, ...hostnames ?? []].join("\t")
  );
  const tail = aliases.length > 0 ? ["", "# Entries added by HostAliases.", ...aliases] : [];
  if (pod.spec.hostNetwork) {
    const head = "# Kubernetes-managed hosts file (host network).";
    return [head, input.hostFile.trimEnd(), ...tail, ""].join("\n");
  }
  const host = podHostname(pod);
  const { subdomain } = pod.spec;
  const domain = subdomain
    ? `${host}.${subdomain}.${pod.metadata.namespace}.svc.${input.clusterDomain}\t`
    : "";
  return [
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    ...input.podIps.map((ip) => `${ip}\t${domain}${host}`),
    ...tail,
    "",
  ].join("\n");
}

export async function writeContainerFiles(
  podDir: string,
  container: Container,
  given: { hosts: string; attempt: number },
): Promise<MountInit[]> {
  const dir = `${podDir}/containers/${container.name}`;
  await Deno.mkdir(dir, { recursive: true, mode: 0o755 });
  const messageFile = `${dir}/${given.attempt.toString(16).padStart(8, "0")}`;
  await Deno.writeTextFile(messageFile, "");
  await Deno.chmod(messageFile, 0o666);
  const mounts: MountInit[] = [{
    containerPath: container.terminationMessagePath ?? TERMINATION_MESSAGE_PATH,
    hostPath: messageFile,
  }];
  if (!container.volumeMounts?.some((m) => m.mountPath === "/etc/hosts")) {
    await Deno.writeTextFile(`${podDir}/etc-hosts`, given.hosts);
    await Deno.chmod(`${podDir}/etc-hosts`, 0o644);
    mounts.push({ containerPath: "/etc/hosts", hostPath: `${podDir}/etc-hosts` });
  }
  return mounts;
}

export interface MessageQuery {
  /** Host path of the message file, "" when unknown. */
  file: string;
  logPath: string;
  fallbackToLogs: boolean;
  exitCode: number;
}

/** What the container said of its end; "" when nothing. */
export async function readTerminationMessage(query: MessageQuery): Promise<string> {
  const said = query.file ? await readPart(query.file, { head: MESSAGE_BYTES_MAX }) : "";
  if (said !== "" || !query.fallbackToLogs || query.exitCode === 0) return said;
  if (!query.logPath) return "";
  // Twice the bytes: stamps and tags of the log format go away below.
  const tail = await readPart(query.logPath, { tail: 2 * LOG_TAIL_BYTES_MAX });
  const lines = tail.split("\n").filter((line) => line !== "").slice(-LOG_TAIL_LINES_MAX);
  const text = lines.map((line) => line.replace(/^\S+ std(?:out|err) \S+ ?/, "")).join("\n");
  return text === "" ? "" : `${text}\n`.slice(-LOG_TAIL_BYTES_MAX);
}

async function readPart(path: string, part: { head?: number; tail?: number }): Promise<string> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path);
    const { size } = await file.stat();
    const buffer = new Uint8Array(Math.min(size, part.head ?? part.tail ?? 0));
    if (part.tail !== undefined) await file.seek(size - buffer.length, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < buffer.length) {
      const read = await file.read(buffer.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return new TextDecoder().decode(buffer.subarray(0, filled));
  } catch {
    // No message is not worth failing a status for: the exit code is what counts.
    return "";
  } finally {
    file?.close();
  }
}
