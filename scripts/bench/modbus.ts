/**
 * `deno task bench modbus [DEVICES, default 100] [REGISTERS, default 1 000] [SECONDS, default 20]`:
 * so many Modbus TCP devices with so many holding registers among them, all read and reported every
 * second, against a server in a process of its own. How late cycles begin, and what they cost.
 */
import { fromFileUrl } from "@std/path";
import { SystemClock } from "../../shared/clock.ts";
import { MapperNode, type NodeDevice } from "../../tests/support/mapper_node.ts";
import { startChild } from "../../tests/support/process.ts";
import { until } from "../../tests/support/until.ts";
import { type BenchOptions, type BenchResult, quantile } from "./result.ts";

const CYCLE_MS = 1_000;
const SERVER = fromFileUrl(new URL("../../tests/support/modbus_server.ts", import.meta.url));

const clock = new SystemClock();

export async function run({ workDir, args, signal }: BenchOptions): Promise<BenchResult> {
  const [devices, total] = [Number(args[0] ?? 100), Number(args[1] ?? 1_000)];
  const [registers, seconds] = [Math.ceil(total / devices), Number(args[2] ?? 20)];
  const server = await startChild({
    name: "modbus",
    command: Deno.execPath(),
    args: ["run", "-A", "--quiet", "--no-check", SERVER, "tcp", String(registers)],
    logDir: workDir,
  });
  try {
    const match = await server.waitForLine(/^listening (\d+)/, 60_000);
    const late: number[] = [];
    await using node = new MapperNode({ onCycle: (lateMs) => late.push(lateMs) });
    for (let i = 0; i < devices; i++) await node.put(device(i, registers, Number(match[1])));
    await until(() => node.room.counts().reads >= devices * 2, {
      what: "every device is read",
      timeoutMs: 120_000,
    });
    late.length = 0;
    const before = { ...node.room.counts(), cpuMs: await cpuMs(), atMs: clock.monotonicMs() };
    await clock.sleep(seconds * 1_000, signal);
    const after = { ...node.room.counts(), cpuMs: await cpuMs(), atMs: clock.monotonicMs() };
    const wallS = (after.atMs - before.atMs) / 1_000;
    const reads = after.reads - before.reads;
    const more = { goal: devices * 0.99, better: "more" as const };
    return {
      bench: "modbus",
      metrics: [
        { name: "device cycles", value: reads / wallS, unit: "1/s", ...more },
        { name: "registers", value: reads * registers / wallS, unit: "1/s" },
        { name: "cycle begins late, p50", value: quantile(late, 0.5), unit: "ms" },
        { name: "cycle begins late, p99", value: quantile(late, 0.99), unit: "ms", goal: 100 },
        { name: "cycle begins late, worst", value: Math.max(...late), unit: "ms" },
        { name: "cycles skipped", value: after.skipped - before.skipped, unit: "", goal: 0 },
        { name: "failures", value: after.failures - before.failures, unit: "", goal: 0 },
        { name: "CPU", value: (after.cpuMs - before.cpuMs) / wallS / 10, unit: "% of a core" },
      ],
      notes: { devices, registers: devices * registers, load: Deno.loadavg()[0] ?? 0 },
    };
  } finally {
    await server.stop();
  }
}

function device(index: number, registers: number, port: number): NodeDevice {
  return {
    name: `plc-${index}`,
    protocol: "modbus",
    config: { ip: "127.0.0.1", port, slaveID: 1 },
    properties: Object.fromEntries(
      Array.from({ length: registers }, (_, offset) => [
        `register-${offset}`,
        { collectMs: CYCLE_MS, readOnly: true, config: { register: "HoldingRegister", offset } },
      ]),
    ),
  };
}

/** Of this process, in hundredths of a second. */
async function cpuMs(): Promise<number> {
  const stat = await Deno.readTextFile("/proc/self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
