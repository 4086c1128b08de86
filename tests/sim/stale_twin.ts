/**
 * The stale twin of a session: what a process once sent, come again on a connection of its own, as
 * when a proxy held it back. The hub must not let it in, whether its successor lives or has gone,
 * nor apply what it repeats over what came later. A cloud that was started since knows of neither,
 * and sees no twin.
 */
import type { SessionRequest, SessionResponse } from "../../shared/gen/skerry/hub/v1/hub_pb.ts";
import type { SimEdge } from "./sim_edge.ts";
import { Life } from "./life.ts";
import type { Trace } from "./trace.ts";
import type { World } from "./world.ts";

const HELLOS_KEPT = 8;
const BATCHES_KEPT = 6;
/** How long a twin stays when it is not sent away. */
const STAYS_MS = 30_000;

interface Remembered {
  hellos: SessionRequest[];
  batches: SessionRequest[];
  /** The last hello that was welcomed, and which start of the cloud did. */
  welcomed: { hello: SessionRequest; cloudStarts: number } | undefined;
}

/** What every node sent of late, to be repeated. */
export class StaleTwins {
  readonly #sent = new Map<string, Remembered>();
  #serial = 0;

  remember(node: string, message: SessionRequest): void {
    const known = this.#sent.get(node) ?? { hellos: [], batches: [], welcomed: undefined };
    this.#sent.set(node, known);
    const { case: kind } = message.message ?? {}; // a tunnel's frames have none
    if (kind === "hello") keep(known.hellos, message, HELLOS_KEPT);
    else if (kind === "reportBatch") keep(known.batches, message, BATCHES_KEPT);
  }

  welcomed(node: string, cloudStarts: number): void {
    const known = this.#sent.get(node);
    const hello = known?.hellos.at(-1);
    if (known && hello) known.welcomed = { hello, cloudStarts };
  }

  /** Dials with what `edge` said before its present session; false when it has not said enough. */
  appear(
    edge: SimEdge,
    { network, time, trace, cloud }: World,
  ): boolean {
    const { hellos = [], batches = [], welcomed } = this.#sent.get(edge.name) ?? {};
    if (!welcomed || welcomed.cloudStarts !== cloud.starts || !cloud.hubEnd) return false;
    const hello = hellos.findLast((each) => precedes(each, welcomed.hello));
    if (!hello) return false;
    const life = new Life(`twin ${++this.#serial} of ${edge.name}`, time);
    const connection = network.dial({ node: edge.name, life, certificate: edge.certificate });
    const abort = new AbortController();
    const leave = () => {
      abort.abort();
      connection.close();
      life.end();
    };
    time.schedule("twins", STAYS_MS, leave);
    void this.#talk(
      connection.hub.session(say([hello, ...batches], abort.signal), {
        signal: abort.signal,
      }),
      trace,
    ).finally(leave);
    return true;
  }

  async #talk(answers: AsyncIterable<SessionResponse>, trace: Trace): Promise<void> {
    try {
      for await (const { message } of answers) {
        if (message.case === "welcome") trace.violate("a stale twin stays out", "it is welcome");
        else if (message.case === "goAway") trace.count("stale twins sent away");
      }
    } catch {
      trace.count("stale twins whose session broke off");
    }
  }
}

/** Of the same process, and not later. */
function precedes(one: SessionRequest, other: SessionRequest): boolean {
  if (one.message.case !== "hello" || other.message.case !== "hello") return false;
  const [a, b] = [one.message.value, other.message.value];
  return a.instanceId === b.instanceId && a.sessionNumber <= b.sessionNumber;
}

async function* say(
  messages: readonly SessionRequest[],
  signal: AbortSignal,
): AsyncGenerator<SessionRequest> {
  yield* messages;
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function keep(list: SessionRequest[], message: SessionRequest, most: number): void {
  list.push(message);
  if (list.length > most) list.shift();
}
