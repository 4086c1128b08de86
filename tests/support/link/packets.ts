/**
 * What goes over TCP ports of this machine, counted by the kernel with IP headers and empty packets
 * (iptables counters; needs root). On the loopback each packet is counted once.
 */
import { AppError } from "../../../shared/errors.ts";
import { must } from "../process.ts";

export interface Packets {
  packets: number;
  bytes: number;
}

const NONE: Packets = { packets: 0, bytes: 0 };

export class PacketCounter implements AsyncDisposable {
  readonly #port: number;

  private constructor(port: number) {
    this.#port = port;
  }

  static async open(port: number): Promise<PacketCounter> {
    const counter = new PacketCounter(port);
    for (const way of ["--dport", "--sport"]) await counter.#rule("-I", way);
    return counter;
  }

  /** Since `open`: `up` goes to the port, `down` comes from it. */
  async read(): Promise<{ up: Packets; down: Packets }> {
    const text = await must("iptables", ["-w", "-L", "OUTPUT", "-v", "-x", "-n"]);
    return { up: this.#find(text, "dpt"), down: this.#find(text, "spt") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const way of ["--dport", "--sport"]) await this.#rule("-D", way);
  }

  #find(text: string, way: string): Packets {
    const line = text.split("\n").find((each) => each.trimEnd().endsWith(`${way}:${this.#port}`));
    const [packets, bytes] = line?.trim().split(/\s+/) ?? [];
    if (bytes === undefined) throw new AppError("internal", "iptables no longer has our rule");
    return { packets: Number(packets), bytes: Number(bytes) };
  }

  async #rule(verb: "-I" | "-D", way: string): Promise<void> {
    await must("iptables", ["-w", verb, "OUTPUT", "-p", "tcp", way, String(this.#port)]);
  }
}

export function sumOf({ up, down }: { up: Packets; down: Packets }): Packets {
  return { packets: up.packets + down.packets, bytes: up.bytes + down.bytes };
}

export function difference(after: Packets, before: Packets = NONE): Packets {
  return { packets: after.packets - before.packets, bytes: after.bytes - before.bytes };
}
