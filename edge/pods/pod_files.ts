/**
 * The small files kubelet gives every container besides its volumes: /etc/hosts of the pod and the
 * file a termination message is written to. And reading that message back.
 */
import type { Container, Pod } from "../../shared/k8s/types.ts";
import { TERMINATION_MESSAGE_PATH } from "./marks.ts";
import { podFqdn, podHostname } from "./to_cri.ts";
import type { MountInit } from "./to_cri.ts";

const MESSAGE_BYTES_MAX = 4096;
const LOG_TAIL_BYTES_MAX = 2048;
const LOG_TAIL_LINES_MAX = 80;
/** Stamps and tags of so many lines besides, and one line as long as runtimes write them. */
const LOG_READ_BYTES_MAX = 24 * 1024;

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
  const fqdn = podFqdn(pod, input.clusterDomain);
  const domain = fqdn ? `${fqdn}\t` : "";
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
  const said = query.file ? text(await readEnd(query.file, MESSAGE_BYTES_MAX)) : "";
  if (said !== "" || !query.fallbackToLogs || query.exitCode === 0) return said;
  return query.logPath ? logTail(await readEnd(query.logPath, LOG_READ_BYTES_MAX)) : "";
}

/** The last lines of a log without stamps, within both bounds; parts of a line are joined. Pure. */
function logTail(log: Uint8Array): string {
  const lines = text(log).split("\n").filter((line) => line !== "").slice(-LOG_TAIL_LINES_MAX);
  const said = lines.map((line) => {
    const found = /^\S+ std(?:out|err) ([PF])\S* ?(.*)$/s.exec(line);
    // a line whose head was not read any more
    if (!found) return "";
    return found[1] === "P" ? found[2] : `${found[2]}\n`;
  }).join("");
  const bytes = new TextEncoder().encode(said);
  return text(bytes.subarray(Math.max(0, bytes.length - LOG_TAIL_BYTES_MAX)));
}

/** Without the rest of a character that was cut through at the start. */
function text(bytes: Uint8Array): string {
  let start = 0;
  while (start < 4 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start++;
  return new TextDecoder().decode(bytes.subarray(start));
}

async function readEnd(path: string, bytesMax: number): Promise<Uint8Array> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path);
    const { size } = await file.stat();
    const buffer = new Uint8Array(Math.min(size, bytesMax));
    await file.seek(size - buffer.length, Deno.SeekMode.Start);
    let filled = 0;
    while (filled < buffer.length) {
      const read = await file.read(buffer.subarray(filled));
      if (read === null) break;
      filled += read;
    }
    return buffer.subarray(0, filled);
  } catch {
    // No message is not worth failing a status for: the exit code is what counts.
    return new Uint8Array();
  } finally {
    file?.close();
  }
}
