/**
 * Ages as kubectl prints them: two units at most, coarser the longer it is ("59s", "5m30s", "3h",
 * "2d4h", "1y120d"). Pure; the caller brings "now".
 */
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** `seconds` as an age. Clocks disagree by a little: up to 2 s below zero is still "0s". */
export function formatAge(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < -2) return "<invalid>";
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 2 * MINUTE) return `${whole}s`;
  if (whole < 10 * MINUTE) return pair(whole, [MINUTE, "m"], [1, "s"]);
  if (whole < 3 * HOUR) return `${Math.floor(whole / MINUTE)}m`;
  if (whole < 8 * HOUR) return pair(whole, [HOUR, "h"], [MINUTE, "m"]);
  if (whole < 2 * DAY) return `${Math.floor(whole / HOUR)}h`;
  if (whole < 8 * DAY) return pair(whole, [DAY, "d"], [HOUR, "h"]);
  if (whole < 2 * YEAR) return `${Math.floor(whole / DAY)}d`;
  if (whole < 8 * YEAR) return pair(whole, [YEAR, "y"], [DAY, "d"]);
  return `${Math.floor(whole / YEAR)}y`;
}

type Unit = [seconds: number, letter: string];

function pair(seconds: number, major: Unit, minor: Unit): string {
  const rest = Math.floor((seconds % major[0]) / minor[0]);
  const head = `${Math.floor(seconds / major[0])}${major[1]}`;
  return rest === 0 ? head : `${head}${rest}${minor[1]}`;
}

/** Age of an RFC 3339 timestamp at `nowMs`; "<unknown>" when it is unset or unreadable. */
export function ageOf(timestamp: string | null | undefined, nowMs: number): string {
  if (!timestamp) return "<unknown>";
  const ms = Date.parse(timestamp);
  return Number.isNaN(ms) ? "<unknown>" : formatAge((nowMs - ms) / 1000);
}
