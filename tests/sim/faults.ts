/**
 * What goes wrong in the world, drawn from the seed: the network, disks, runtimes, clocks, and
 * processes that are killed at any call of a port. Every fault is counted under its name; `heal`
 * takes back all that lasts.
 */
import type { SeededRandom } from "../../shared/random.ts";
import type { SimCloud } from "./sim_cloud.ts";
import type { SimEdge } from "./sim_edge.ts";
import type { World } from "./world.ts";

const PAUSE_MS_MAX = 40_000;
const TEN_YEARS_MS = 10 * 365 * 86_400_000;
/** Calls of ports between an armed kill and the kill: from the midst of a commit to minutes. */
const CALLS_MAX = 300;
const RUNTIME_CALLS = [
  "RunPodSandbox",
  "CreateContainer",
  "StartContainer",
  "StopPodSandbox",
  "RemovePodSandbox",
  "ListContainers",
  "ContainerStatus",
  "PullImage",
  "RemoveContainer",
  "Status",
] as const;

type Fault = (edge: SimEdge) => void;

export class Faults {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #kinds: [name: string, weight: number, fault: Fault][];
  #isOn = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.fork();
    this.#kinds = [
      ["connection lost", 4, (edge) => this.#breakLine(edge)],
      ["half-open: up lost", 2, (edge) => this.#silence(edge, true, false)],
      ["half-open: down lost", 2, (edge) => this.#silence(edge, false, true)],
      ["partition", 3, (edge) => this.#silence(edge, true, true)],
      ["everyone cut off", 0.4, () => this.#silenceAll()],
      ["stale twin", 1.5, (edge) => this.#twin(edge)],
      ["slow network", 2, (edge) => this.#slowLine(edge)],
      ["edge killed", 3, (edge) => this.#killEdge(edge, false)],
      ["edge lost power", 3, (edge) => this.#killEdge(edge, true)],
      ["edge stopped", 1, (edge) => this.#stopEdge(edge)],
      ["cloud killed", 1, () => this.#killCloud(false)],
      ["cloud lost power", 1, () => this.#killCloud(true)],
      ["edge disk full", 1, (edge) => this.#fillDisk(edge)],
      ["cloud disk full", 0.5, () => this.#fillDisk(this.#world.cloud)],
      ["edge disk slow", 1, (edge) => this.#slowDisk(edge)],
      ["cloud disk slow", 0.5, () => this.#slowDisk(this.#world.cloud)],
      ["bit flipped", 0.7, (edge) => this.#flipBit(edge)],
      ["runtime down", 1.5, (edge) => this.#runtimeDown(edge)],
      ["runtime call failed", 4, (edge) => this.#failCall(edge)],
      ["runtime call slow", 2, (edge) => this.#slowCall(edge)],
      ["container crashed", 2, (edge) => this.#crashContainer(edge)],
      ["clock jumped", 1, (edge) => this.#jumpClock(edge)],
    ];
  }

  begin(): void {
    this.#isOn = true;
    this.#next();
  }

  /** No new faults, and none that lasts; machines that are down come up. */
  heal(): void {
    this.#isOn = false;
    const { edges, cloud, network } = this.#world;
    for (const edge of edges) {
      this.#clearLine(edge);
      Object.assign(network.line(edge.name), { latencyMs: 5 });
      edge.disk.capacityBytes = Infinity;
      edge.trouble.slowMs = 0;
      edge.world.setDown(false);
      edge.world.faults.clear();
      edge.wall.offsetMs = 0;
      edge.life?.killAfter(Infinity, () => {});
      if (!edge.isUp) void edge.start();
    }
    cloud.disk.capacityBytes = Infinity;
    cloud.trouble.slowMs = 0;
    cloud.life?.killAfter(Infinity, () => {});
    if (!cloud.isUp) void cloud.start();
    this.#world.trace.add("heal", "");
  }

  #next(): void {
    this.#after(this.#upTo(PAUSE_MS_MAX), () => {
      this.#strike();
      this.#next();
    });
  }

  #strike(): void {
    const { edges, trace } = this.#world;
    const total = this.#kinds.reduce((sum, [, weight]) => sum + weight, 0);
    let dice = this.#random.float() * total;
    const edge = edges[Math.floor(this.#random.float() * edges.length)]!; // below its length
    for (const [name, weight, fault] of this.#kinds) {
      dice -= weight;
      if (dice > 0) continue;
      trace.add("fault", `${name} ${edge.name}`);
      trace.count(`fault: ${name}`);
      return fault(edge);
    }
  }

  #breakLine(edge: SimEdge): void {
    const dice = this.#random.float();
    for (const connection of this.#world.network.connections(edge.name)) {
      connection.break({ isSilent: dice < 0.3, lateMs: dice < 0.7 ? 0 : this.#upTo(10_000) });
    }
  }

  #silence(edge: SimEdge, up: boolean, down: boolean): void {
    const { silent } = this.#world.network.line(edge.name);
    Object.assign(silent, { up, down });
    const lastsMs = this.#random.float() < 0.8 ? this.#upTo(60_000) : this.#upTo(900_000);
    this.#after(lastsMs, () => this.#clearLine(edge));
  }

  /** The hub's own line is down: all come back at once. */
  #silenceAll(): void {
    const { edges, network } = this.#world;
    for (const { name } of edges) {
      Object.assign(network.line(name).silent, { up: true, down: true });
    }
    this.#after(this.#upTo(300_000), () => edges.forEach((edge) => this.#clearLine(edge)));
  }

  #twin(edge: SimEdge): void {
    const { twins, trace } = this.#world;
    if (!twins.appear(edge, this.#world)) trace.count("stale twins with nothing to say");
  }

  #clearLine(edge: SimEdge): void {
    const { silent } = this.#world.network.line(edge.name);
    Object.assign(silent, { up: false, down: false });
    for (const connection of this.#world.network.connections(edge.name)) connection.resume();
  }

  #slowLine(edge: SimEdge): void {
    const line = this.#world.network.line(edge.name);
    line.latencyMs = this.#upTo(3_000);
    this.#after(this.#upTo(60_000), () => line.latencyMs = 5);
  }

  /** At once, or in the midst of whatever it does next. */
  #killEdge(edge: SimEdge, isPower: boolean): void {
    const kill = () => {
      if (isPower) void edge.powerCut(); // its containers end by themselves
      else edge.kill();
      this.#world.trace.add("killed", edge.name);
      this.#after(this.#upTo(60_000), () => void edge.start());
    };
    if (this.#random.float() < 0.3 || !edge.life) kill();
    else edge.life.killAfter(this.#upTo(CALLS_MAX), kill);
  }

  #killCloud(isPower: boolean): void {
    const { cloud } = this.#world;
    const kill = () => {
      if (isPower) cloud.powerCut();
      else cloud.kill();
      this.#world.trace.add("killed", "cloud");
      this.#after(this.#upTo(30_000), () => void cloud.start());
    };
    if (this.#random.float() < 0.3 || !cloud.life) kill();
    else cloud.life.killAfter(this.#upTo(CALLS_MAX), kill);
  }

  #stopEdge(edge: SimEdge): void {
    void edge.stop(); // never rejects: its scope and stack end what they hold
    this.#after(this.#upTo(30_000), () => void edge.start());
  }

  #fillDisk(machine: SimEdge | SimCloud): void {
    machine.disk.capacityBytes = machine.disk.usedBytes + this.#upTo(4_000);
    this.#after(this.#upTo(120_000), () => machine.disk.capacityBytes = Infinity);
  }

  #slowDisk(machine: SimEdge | SimCloud): void {
    machine.trouble.slowMs = this.#upTo(2_000);
    this.#after(this.#upTo(60_000), () => machine.trouble.slowMs = 0);
  }

  /** While the machine is off; a running store reads nothing back. */
  #flipBit(edge: SimEdge): void {
    edge.kill();
    const files = edge.disk.files().filter((file) => !file.endsWith("/lock"));
    const file = files[Math.floor(this.#random.float() * files.length)];
    if (file) {
      edge.disk.flipBit(file, Math.floor(this.#random.float() * 8 * edge.disk.size(file)));
      edge.isDamaged = true;
      edge.isDamageSeen = false;
    }
    this.#after(this.#upTo(10_000), () => void edge.start());
  }

  #runtimeDown(edge: SimEdge): void {
    edge.world.setDown(true);
    this.#after(this.#upTo(60_000), () => edge.world.setDown(false));
  }

  #failCall(edge: SimEdge): void {
    const times = 1 + Math.floor(this.#upTo(3));
    edge.world.faults.fail(this.#call(), "internal", "the runtime says no", times);
  }

  #slowCall(edge: SimEdge): void {
    edge.world.faults.delay(this.#call(), this.#upTo(20_000));
  }

  #crashContainer(edge: SimEdge): void {
    const running = [...edge.world.containers.values()].filter((c) => c.state.kind === "running");
    const one = running[Math.floor(this.#random.float() * running.length)];
    if (one) void edge.world.crash(one.id); // resolves when its process has ended
  }

  #jumpClock(edge: SimEdge): void {
    edge.wall.offsetMs = (this.#random.float() * 2 - 1) * TEN_YEARS_MS;
    this.#after(this.#upTo(300_000), () => edge.wall.offsetMs = 0);
  }

  #call(): string {
    return RUNTIME_CALLS[Math.floor(this.#random.float() * RUNTIME_CALLS.length)]!; // as above
  }

  /** Later, if the faults still go on: `heal` has done it otherwise. */
  #after(ms: number, act: () => void): void {
    this.#world.time.schedule("faults", ms, () => {
      if (this.#isOn) act();
    });
  }

  #upTo(max: number): number {
    return this.#random.float() * max;
  }
}
