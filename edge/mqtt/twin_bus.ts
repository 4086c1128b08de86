/**
 * Requests of clients to the twin engine, and their answers. A promise of `handle` settles when
 * what was asked is on disk; it never rejects, because whatever is wrong is an answer on the
 * result topic of whoever asked.
 */
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain } from "../../shared/errors.ts";
import { roomLogger } from "../../shared/log.ts";
import type { Intents } from "../intents/port.ts";
import type { DeviceName, Twins, TwinView } from "../twins/port.ts";
import {
  errorResult,
  type Member,
  MEMBERS_MAX,
  membershipResult,
  type Stamp,
  stateResult,
  twinGetResult,
  twinUpdateResult,
} from "./answers.ts";
import type { Counters } from "./counters.ts";
import type { DeviceNames } from "./device_names.ts";
import {
  type Desire,
  eventIdOf,
  type Header,
  parseHeader,
  parseMessage,
  parseState,
  parseTwinUpdate,
} from "./payloads.ts";
import { type DeviceId, deviceId, deviceTopic, membershipTopic, type Request } from "./topics.ts";

export interface TwinBusOptions {
  nodeName: string;
  /** Undefined while the node has no device. */
  twins: () => Twins | undefined;
  intents: Pick<Intents, "setTwin">;
  names: DeviceNames;
  /** May clients say what a device shall do? */
  desired: "allow" | "deny";
  counters: Counters;
  clock: Clock;
}

export interface Ask {
  request: Request;
  payload: Uint8Array;
  /** Who asks, as far as the broker knows. */
  by: string;
}

export interface Answer {
  topic: string;
  payload: string;
}

type DeviceRequest = Extract<Request, { device: DeviceId }>;

export class TwinBus {
  readonly #options: TwinBusOptions;
  readonly #log = roomLogger("edge", "mqtt");

  constructor(options: TwinBusOptions) {
    this.#options = options;
  }

  /** Undefined when it is not this node's to answer. */
  async handle({ request, payload, by }: Ask): Promise<Answer | undefined> {
    const { nodeName, counters } = this.#options;
    if (request.kind === "membership_get" && request.node !== nodeName) return undefined;
    let eventId = "";
    let text: string;
    let code = 200;
    try {
      const message = parseMessage(payload);
      eventId = eventIdOf(message);
      const header = parseHeader(message);
      text = await this.#carryOut(request, { message, header, by });
    } catch (error) {
      text = errorResult(this.#stamp(eventId), error);
      code = Number(JSON.parse(text).code);
      if (code === 500) this.#log.error("Request failed", { error: errorChain(error) });
    }
    counters.request(request.kind, code);
    return { topic: this.#resultTopic(request), payload: text };
  }

  /** All devices, up to a bound. */
  members(): Member[] {
    const twins = this.#options.twins();
    if (!twins) return [];
    return twins.list({ limit: MEMBERS_MAX }).map((summary) => ({
      summary,
      labels: twins.definition(summary)?.labels ?? {},
    }));
  }

  async #carryOut(
    request: Request,
    said: { message: Record<string, unknown>; header: Header; by: string },
  ): Promise<string> {
    const stamp = () => this.#stamp(said.header.eventId);
    if (request.kind === "membership_get") return membershipResult(stamp(), this.members());
    const { twins, device } = this.#find(request.device);
    switch (request.kind) {
      case "twin_get":
        return twinGetResult(stamp(), twins.twins(device));
      case "twin_update":
        return twinUpdateResult(stamp(), await this.#update(twins, device, said));
      case "state_update": {
        await twins.reportState(device, parseState(said.message));
        const summary = twins.get(device);
        if (!summary) throw notFound(request.device);
        return stateResult(stamp(), summary);
      }
    }
  }

  /**
   * Desired first: when it is refused nothing was reported, and the client may send all of it
   * again. Each part is idempotent.
   */
  async #update(
    twins: Twins,
    device: DeviceName,
    { message, header: { timestampMs }, by }: {
      message: Record<string, unknown>;
      header: Header;
      by: string;
    },
  ): Promise<TwinView[]> {
    const { reported, desired, properties } = parseTwinUpdate(message);
    for (const desire of desired) await this.#desire(twins, device, desire, by);
    if (Object.keys(reported).length > 0) {
      const stamp = timestampMs === undefined ? {} : { timestampMs };
      await twins.report(device, { twins: reported, ...stamp });
    }
    return properties.flatMap((property) => twins.twin(device, property) ?? []);
  }

  async #desire(
    twins: Twins,
    device: DeviceName,
    { property, value, version }: Desire,
    by: string,
  ): Promise<void> {
    const twin = twins.twin(device, property);
    // clients echo what they were told: that is no wish of theirs
    if (twin?.desired?.value === value && version === undefined) return;
    if (this.#options.desired === "deny") {
      throw new AppError("forbidden", `Cannot set ${property}: mqtt.desired is deny here`, {
        rule: "desired",
      });
    }
    const { namespace, name } = device;
    const asked = { namespace, name, property, value, by };
    await this.#options.intents.setTwin(version === undefined ? asked : { ...asked, version });
  }

  #find(id: DeviceId): { twins: Twins; device: DeviceName } {
    const { twins: find, names } = this.#options;
    const twins = find();
    const device = twins && names.resolve(twins, id);
    if (!twins || !device) throw notFound(id);
    return { twins, device };
  }

  #resultTopic(request: Request): string {
    if (request.kind === "membership_get") return membershipTopic(request.node, "get/result");
    return deviceTopic(request.device, RESULT_OF[request.kind]);
  }

  #stamp(eventId: string): Stamp {
    return { eventId, nowMs: this.#options.clock.nowMs() };
  }
}

const RESULT_OF = {
  twin_get: "twin/get/result",
  twin_update: "twin/update/result",
  state_update: "state/update/result",
} as const satisfies Record<DeviceRequest["kind"], string>;

function notFound(id: DeviceId): AppError {
  return new AppError("not_found", `devices "${deviceId(id).slice(0, 300)}" not found`, {
    rule: "unknown_device",
  });
}
