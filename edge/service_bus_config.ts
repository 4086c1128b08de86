/** Where applications of the node ask REST targets by rule: the `serviceBus` section. */
import {
  address,
  flag,
  parseAddress,
  type Parser,
  section,
  text,
  whole,
} from "../shared/config.ts";
import { AppError } from "../shared/errors.ts";

export interface ServiceBusConfig {
  enable: boolean;
  listen: string;
  /** How long an application waits for an answer; then it is told that its request is kept. */
  timeoutSeconds: number;
  /** A file with the token applications must show; "" for none, which only loopback may have. */
  tokenFile: string;
}

const parsed = section<ServiceBusConfig>({
  enable: flag(false),
  listen: address("127.0.0.1:9060"),
  timeoutSeconds: whole(60, 1, 600),
  tokenFile: text(""),
});

export const serviceBusConfig: Parser<ServiceBusConfig> = (value, path) => {
  const config = parsed(value, path);
  if (config.enable && config.tokenFile === "" && !isLoopback(config.listen)) {
    const why = "needs tokenFile where others than this machine can reach it";
    throw new AppError("invalid", `${path}.listen ${why}, got "${config.listen}"`);
  }
  return config;
};

export function isLoopback(listen: string): boolean {
  const { hostname } = parseAddress(listen);
  return hostname === "localhost" || hostname === "::1" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
