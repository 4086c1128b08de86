/**
 * Two ways to deliver several samples, for senders: all in one, and one by one with devices side by
 * side. A failure with code `invalid` is the sample's fault and for good; any other is the
 * destination's, and passes.
 */
import { errorChain, isAppError } from "../../shared/errors.ts";
import { type Delivery, DONE, type Sample } from "./port.ts";

/**
 * All in one call. Where it is refused, each by itself, so that one bad sample takes no other with
 * it.
 */
export async function deliverTogether(
  samples: readonly Sample[],
  signal: AbortSignal,
  send: (samples: readonly Sample[], signal: AbortSignal) => Promise<void>,
): Promise<Delivery[]> {
  const first = await attempt(() => send(samples, signal), signal);
  if (first.kind !== "refused" || samples.length === 1) return samples.map(() => first);
  const deliveries: Delivery[] = [];
  for (const sample of samples) {
    const last = deliveries.at(-1);
    const isOver = last?.kind === "later";
    deliveries.push(isOver ? last : await attempt(() => send([sample], signal), signal));
  }
  return deliveries;
}

/** One call each, in order for a device, devices side by side. */
export async function deliverEach(
  samples: readonly Sample[],
  signal: AbortSignal,
  send: (sample: Sample, signal: AbortSignal) => Promise<void>,
): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const byDevice = Map.groupBy(samples.keys(), (i) => {
    const { namespace, device } = samples[i]!; // i is one of its keys
    return `${namespace}/${device}`;
  });
  const lines = Array.from(byDevice.values(), async (indices) => {
    let last: Delivery = DONE;
    for (const i of indices) {
      if (last.kind !== "later") last = await attempt(() => send(samples[i]!, signal), signal);
      deliveries[i] = last;
    }
  });
  await Promise.all(lines);
  return deliveries;
}

async function attempt(send: () => Promise<void>, signal: AbortSignal): Promise<Delivery> {
  try {
    await send();
    return DONE;
  } catch (error) {
    signal.throwIfAborted();
    const reason = errorChain(error);
    return isAppError(error, "invalid") ? { kind: "refused", reason } : { kind: "later", reason };
  }
}
