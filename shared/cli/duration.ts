/** Durations as operators write them: "90s", "15m", "24h", "7d", and sums ("1h30m"). */
import { AppError } from "../errors.ts";

const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds; AppError "invalid" names `what`. */
export function parseDurationMs(text: string, what: string): number {
  if (!/^(\d{1,9}[smhd])+$/.test(text)) {
    throw new AppError(
      "invalid",
      `Cannot read ${what}: must be like 90s, 15m, 24h, 7d, got ${text}`,
    );
  }
  let sum = 0;
  for (const [, amount = "", unit = ""] of text.matchAll(/(\d+)([smhd])/g)) {
    sum += Number(amount) * (UNIT_MS[unit] ?? 0);
  }
  return sum;
}
