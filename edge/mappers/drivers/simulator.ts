/**
 * Devices that are not there: each property follows a pattern of its configData, the same after
 * every start with the same seed. What is written to a property stays until the next connection.
 *
 * `pattern`: constant (`value`), counter (`start`, `step`, `modulo`), sine (`offset`, `amplitude`,
 * `periodMs`), random (`min`, `max`, `seed`), replay (`values`). Without one a property holds what
 * was written, and begins with `value`.
 */
import { AppError } from "../../../shared/errors.ts";
import { SeededRandom } from "../../../shared/random.ts";
import type { Connection, Driver, DriverDevice, DriverHost, Point, Reading } from "../port.ts";
import { badSetting, numberSetting, textSetting, valueText } from "../settings.ts";

type Pattern = () => unknown;

const REPLAY_MAX = 100_000;

export function createDriver({ clock }: DriverHost): Driver {
  return {
    open: (device) => Promise.resolve(connect(device, () => clock.monotonicMs())),
  };
}

function connect(device: DriverDevice, nowMs: () => number): Connection {
  const written = new Map<string, string>();
  const patterns = new Map(device.points.map((point) => {
    return [point.name, patternOf(point, { device, nowMs })] as const;
  }));
  return {
    read: (points) => {
      const readings = new Map<string, Reading>();
      for (const point of points) {
        const own = written.get(point.name);
        readings.set(point.name, own ?? reading(point, patterns.get(point.name)));
      }
      return Promise.resolve(readings);
    },
    write: (point, value) => {
      written.set(point.name, value);
      return Promise.resolve({ kind: "verify", expected: value });
    },
    close: () => Promise.resolve(),
  };
}

function reading(point: Point, pattern: Pattern | undefined): Reading {
  try {
    return valueText(point, pattern?.());
  } catch (error) {
    return error instanceof Error ? error : new AppError("internal", String(error));
  }
}

interface Around {
  device: DriverDevice;
  nowMs: () => number;
}

function patternOf(point: Point, { device, nowMs }: Around): Pattern {
  const { config, type } = point;
  const number = (key: string, fallback: number) => numberSetting(config[key]) ?? fallback;
  const name = textSetting(config["pattern"])?.toLowerCase() ?? "constant";
  switch (name) {
    case "constant": {
      const value = textSetting(config["value"]) ?? firstValue(point);
      return () => value;
    }
    case "counter": {
      const [step, modulo] = [number("step", 1), number("modulo", Infinity)];
      let next = number("start", 0);
      return () => {
        const value = next;
        next = (next + step) % modulo;
        return value;
      };
    }
    case "sine": {
      const [offset, amplitude] = [number("offset", 0), number("amplitude", 1)];
      const periodMs = Math.max(1, number("periodMs", 60_000));
      return () => offset + amplitude * Math.sin(2 * Math.PI * (nowMs() % periodMs) / periodMs);
    }
    case "random": {
      const seed = number("seed", hashOf(`${device.namespace}/${device.name}/${point.name}`));
      const random = new SeededRandom(seed);
      const [min, max] = [number("min", 0), number("max", 1)];
      if (type === "BOOLEAN") return () => random.float() < 0.5;
      return () => min + (max - min) * random.float();
    }
    case "replay":
      return replay(config["values"]);
    default:
      throw badSetting("pattern", "constant, counter, sine, random or replay", name);
  }
}

function replay(values: unknown): Pattern {
  if (!Array.isArray(values) || values.length === 0 || values.length > REPLAY_MAX) {
    throw badSetting("values", `a list of 1 to ${REPLAY_MAX} values`, values);
  }
  let next = 0;
  return () => values[next++ % values.length];
}

function firstValue({ type, minimum }: Point): string {
  if (type === "BOOLEAN") return "false";
  if (type === "STRING" || type === "STREAM" || type === "BYTES") return "";
  return minimum !== undefined && Number(minimum) > 0 ? minimum : "0";
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
