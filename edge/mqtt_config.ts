/**
 * The `mqtt` section of EdgeConfig: the broker inside the edge, the one beside it, and who may do
 * what at the former. Checked here, so that a config that is taken can be acted on.
 */
import { address, list, oneOf, type Parser, section, text, whole } from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";
import { filterProblem } from "./mqtt/topics.ts";

export interface MqttAccess {
  /** Name in `usersFile`, or in the client's certificate without one; "" means every client. */
  user: string;
  /** Topic filters; %u stands for the user's name, %c for the client's id. */
  read: string[];
  write: string[];
}

export interface MqttConfig {
  mode: "embedded" | "external" | "both" | "off";
  listen: string;
  /** PEM files; with `clientCA` clients must show a certificate of it. */
  tls: { listen: string; certFile: string; keyFile: string; clientCAFile: string };
  /** Lines `name:hash`, by `skerry-edge mqtt-password`; "" lets everybody in. */
  usersFile: string;
  /** Without any, whoever is let in may do everything. */
  acl: MqttAccess[];
  /** May clients say what a device shall do (`expected`)? */
  desired: "allow" | "deny";
  limits: {
    connections: number;
    messagesPerSecond: number;
    bytesPerSecond: number;
    queuedMessages: number;
    subscriptions: number;
  };
  external: {
    url: string;
    clientId: string;
    username: string;
    passwordFile: string;
    caFile: string;
    certFile: string;
    keyFile: string;
    protocol: "3.1.1" | "5";
  };
}

const filter: Parser<string> = (value, path) => {
  const given = text()(value, path);
  const problem = filterProblem(given);
  if (problem === undefined) return given;
  throw new AppError("invalid", `${path} ${problem}, got "${given.slice(0, 80)}"`);
};

const parsed = section<MqttConfig>({
  mode: oneOf("embedded", ["embedded", "external", "both", "off"]),
  listen: address("127.0.0.1:1883"),
  tls: section<MqttConfig["tls"]>({
    listen: address(""),
    certFile: text(""),
    keyFile: text(""),
    clientCAFile: text(""),
  }),
  usersFile: text(""),
  acl: list(section<MqttAccess>({ user: text(""), read: list(filter), write: list(filter) })),
  desired: oneOf("allow", ["allow", "deny"]),
  limits: section<MqttConfig["limits"]>({
    connections: whole(256, 1, 10_000),
    messagesPerSecond: whole(20_000, 1, 1_000_000),
    bytesPerSecond: whole(8_000_000, 1_000, 1_000_000_000),
    queuedMessages: whole(1_000, 1, 65_000),
    subscriptions: whole(200, 1, 10_000),
  }),
  external: section<MqttConfig["external"]>({
    url: text(""),
    clientId: text(""),
    username: text(""),
    passwordFile: text(""),
    caFile: text(""),
    certFile: text(""),
    keyFile: text(""),
    protocol: oneOf("3.1.1", ["3.1.1", "5"]),
  }),
});

export const mqttConfig: Parser<MqttConfig> = (value, path) => {
  const config = parsed(value, path);
  const { mode, tls, external, acl, usersFile } = config;
  const must = (holds: boolean, what: string) => {
    if (!holds) throw new AppError("invalid", `${path}.${what}`);
  };
  const needsUrl = mode === "external" || mode === "both";
  must(!needsUrl || external.url !== "", `external.url is needed when mode is ${mode}`);
  must(external.url === "" || isBrokerUrl(external.url), URL_RULE);
  const hasTls = tls.listen !== "";
  must(
    !hasTls || (tls.certFile !== "" && tls.keyFile !== ""),
    "tls.listen needs certFile, keyFile",
  );
  must(
    (external.certFile === "") === (external.keyFile === ""),
    "external needs certFile and keyFile, or neither",
  );
  const hasNames = usersFile !== "" || (hasTls && tls.clientCAFile !== "");
  must(
    hasNames || acl.every(({ user }) => user === ""),
    "acl names users: set usersFile, or tls.listen and tls.clientCAFile",
  );
  return config;
};

const URL_RULE = "external.url must be mqtt://, mqtts://, tcp:// or ssl:// with HOST:PORT";

function isBrokerUrl(text: string): boolean {
  const url = URL.parse(text.replace(/^tcp:/, "mqtt:").replace(/^ssl:/, "mqtts:"));
  return url !== null && ["mqtt:", "mqtts:"].includes(url.protocol) && url.hostname !== "";
}
