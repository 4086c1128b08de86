/** Image references: what pulls need to know of them, and which pull secret fits. Pure. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AuthConfigSchema } from "../../shared/gen/runtime/v1/api_pb.ts";
import type { Secret } from "../../shared/k8s/types.ts";
import { decodeText } from "./env.ts";

export type AuthConfig = MessageInitShape<typeof AuthConfigSchema>;

const DOMAIN = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?";
const PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const REFERENCE = new RegExp(
  `^(?:(${DOMAIN})/)?(${PART}(?:/${PART})*)(?::([\\w][\\w.-]{0,127}))?` +
    `(?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);
const REFERENCE_CHARS_MAX = 1024;

export interface ImageName {
  /** With ":latest" where neither tag nor digest is given; otherwise as written. */
  reference: string;
  /** "docker.io" when the name has no registry. */
  registry: string;
  path: string;
  latest: boolean;
}

/** Undefined when `image` is no image reference. */
export function parseImageName(image: string): ImageName | undefined {
  const match = image.length <= REFERENCE_CHARS_MAX ? REFERENCE.exec(image) : null;
  if (!match) return undefined;
  const [, domain, path = "", tag, digest] = match;
  const isHost = domain !== undefined && (/[.:\[]/.test(domain) || domain === "localhost");
  const whole = domain !== undefined && !isHost ? `${domain}/${path}` : path;
  return {
    reference: tag || digest ? image : `${image}:latest`,
    registry: isHost ? domain : "docker.io",
    path: isHost || whole.includes("/") ? whole : `library/${whole}`,
    latest: !digest && (tag === undefined || tag === "latest"),
  };
}

/** With registry, folder and tag written out, as runtimes list it; what is no name stays. */
export function canonicalName(image: string): string {
  // An id, as runtimes give it, is no name though it may look like one.
  if (/^(sha256:)?[0-9a-f]{64}$/.test(image)) return image.replace(/^(?!sha256:)/, "sha256:");
  const name = parseImageName(image);
  if (!name) return image;
  const tail = /(:[^:@/]+)?(@[^/]+)?$/.exec(name.reference)?.[0] ?? "";
  return `${name.registry}/${name.path}${tail}`;
}

interface DockerAuth {
  username?: string;
  password?: string;
  auth?: string;
  identitytoken?: string;
  registrytoken?: string;
}

/** Credentials that fit, the longest matching registry prefix first. */
export function pullCredentials(name: ImageName, secrets: readonly Secret[]): AuthConfig[] {
  const found: { key: string; auth: AuthConfig }[] = [];
  for (const secret of secrets) {
    for (const [key, auth] of Object.entries(dockerAuths(secret))) {
      if (matches(key, name)) found.push({ key, auth: toAuth(auth) });
    }
  }
  return found.sort((a, b) => b.key.length - a.key.length).map(({ auth }) => auth);
}

function dockerAuths(secret: Secret): Record<string, DockerAuth> {
  const modern = secret.data?.[".dockerconfigjson"];
  const legacy = secret.data?.[".dockercfg"];
  try {
    const text = decodeText(modern ?? legacy ?? "");
    const json = JSON.parse(text) as Record<string, unknown> | null; // checked below
    if (json === null) return {};
    const auths = modern === undefined ? json : json.auths;
    return typeof auths === "object" && auths !== null
      ? auths as Record<string, DockerAuth> // each field is read with its type checked in toAuth
      : {};
  } catch {
    // kubelet skips a pull secret it cannot read, too: the pull itself says what was refused.
    return {};
  }
}

function matches(key: string, name: ImageName): boolean {
  const bare = key.replace(/^https?:\/\//, "").replace(/\/v[12]\/?$/, "").replace(/\/$/, "");
  const [host = "", ...path] = bare.split("/");
  const hub = ["index.docker.io", "registry-1.docker.io", "docker.io"];
  const sameHost = hub.includes(host)
    ? name.registry === "docker.io"
    : wildcard(host, name.registry);
  const prefix = path.join("/");
  return sameHost && (prefix === "" || name.path === prefix || name.path.startsWith(`${prefix}/`));
}

/** `*` in a key stands for one label's characters. */
function wildcard(pattern: string, host: string): boolean {
  const source = pattern.split("*").map((s) => s.replace(/[.\\+?^${}()|[\]]/g, "\\$&"));
  return new RegExp(`^${source.join("[^.]*")}$`).test(host);
}

/** As kubelet, without the server's address: containerd takes "host:port" there for no URL. */
function toAuth(auth: DockerAuth): AuthConfig {
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  let [username, password] = [text(auth?.username), text(auth?.password)];
  if (!username && text(auth?.auth)) {
    const [user = "", ...rest] = decodeText(text(auth.auth)).split(":");
    [username, password] = [user, rest.join(":")];
  }
  return {
    username,
    password,
    identityToken: text(auth?.identitytoken),
    registryToken: text(auth?.registrytoken),
  };
}
