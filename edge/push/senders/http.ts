/** `pushMethod.http`: one POST a value. */
import type { Clock } from "../../../shared/clock.ts";
import { withDeadline } from "../deadline.ts";
import { deliverEach } from "../deliver.ts";
import { formBody, type PayloadStyle, sampleJson } from "../formats.ts";
import type { Credentials, Delivery, Destination, Sample, Sender } from "../port.ts";
import { authorization, postTo } from "./http_call.ts";

const TIMEOUT_MS = 10_000;

export class HttpSender implements Sender {
  /** Devices side by side, at most. */
  readonly batchMax = 16;
  readonly #base: string;
  readonly #headers: Record<string, string>;
  readonly #style: PayloadStyle;
  readonly #clock: Clock;

  constructor(
    { address }: Destination,
    credentials: Credentials,
    { style, clock }: { style: PayloadStyle; clock: Clock },
  ) {
    this.#base = address;
    this.#headers = authorization(credentials);
    this.#style = style;
    this.#clock = clock;
  }

  async send(samples: readonly Sample[], signal: AbortSignal): Promise<Delivery[]> {
    return await deliverEach(samples, signal, (sample, s) => this.#post(sample, s));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #post(sample: Sample, signal: AbortSignal): Promise<void> {
    const isJson = this.#style === "json";
    const call = {
      url: `${this.#base}${sample.detail.path ?? ""}`,
      body: isJson ? sampleJson(sample) : formBody(sample),
      contentType: isJson ? "application/json" : "application/x-www-form-urlencoded",
      headers: this.#headers,
    };
    const timeoutMs = sample.detail.timeoutMs ?? TIMEOUT_MS;
    await withDeadline(this.#clock, timeoutMs, (s) => postTo(call, s), signal);
  }
}
