/**
 * What goes into certificates: names, lifetimes, limits. Pure, but for the randomness handed in.
 */
import { AppError } from "../../shared/errors.ts";
import type { Random } from "../../shared/random.ts";

/** Certificates begin this long ago, so that a node whose clock is a little behind accepts them. */
export const CLOCK_SKEW_MS = 10 * 60_000;
export const NODE_LIFETIME_MS = 365 * 86_400_000;
export const ADMIN_LIFETIME_MS = 365 * 86_400_000;
/**
 * How long after its end a certificate may still renew itself: a node switched off for a season.
 */
export const RENEWAL_GRACE_MS = 365 * 86_400_000;

export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const ADMINS_ORGANIZATION = "system:masters";

/** 253 characters, as DNS and Kubernetes have it. */
const NODE_NAME_MAX = 253;
const DNS_1123_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Throws "invalid" unless `name` can name a node. */
export function checkNodeName(name: string): void {
  if (name.length > NODE_NAME_MAX || !DNS_1123_SUBDOMAIN.test(name)) {
    throw new AppError(
      "invalid",
      "Cannot use node name: must be a DNS-1123 subdomain (lower-case letters, digits, '-' and " +
        `'.', at most ${NODE_NAME_MAX} characters), got ${JSON.stringify(name.slice(0, 300))}`,
    );
  }
}

/** 127 random bits with the top bit clear and the next set: positive, and never short. */
export function randomSerial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Subject alternative names, each once, told apart as addresses and DNS names. */
export function alternativeNames(
  names: readonly string[],
): { type: "dns" | "ip"; value: string }[] {
  const unique = new Set(names.map((name) => name.split("%")[0]!).filter((name) => name !== ""));
  return [...unique].map((value) => ({
    type: IPV4.test(value) || value.includes(":") ? "ip" : "dns",
    value,
  }));
}
