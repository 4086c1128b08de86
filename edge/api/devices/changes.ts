/**
 * Changes of devices as Server-Sent Events. A client first gets `resync` with nothing (it reads the
 * lists), and again when it was too slow: what waits for it is bounded by the feed, and only the
 * latest of each twin. A comment now and then shows a client that is gone.
 */
import type { Context } from "hono";
import { AppError } from "../../../shared/errors.ts";
import type { DeviceName, FeedItem, Twins } from "../../twins/port.ts";
import { streamBody } from "../stream_body.ts";
import { changeView } from "./views.ts";

/** Streams held open at once: people, dashboards and scripts of one site. */
const STREAMS_MAX = 64;
/** Changes held for one client, before it has to read anew. */
const CAPACITY = 2_000;
const BEAT_MS = 15_000;

export function changeStream(
  devices: () => Twins | undefined,
): (c: Context, device?: DeviceName) => Response {
  let open = 0;
  return (c, device) => {
    const twins = devices();
    if (!twins) throw new AppError("not_found", "this node has no devices");
    if (device && !twins.get(device)) {
      throw new AppError("not_found", `devices "${device.namespace}/${device.name}" not found`);
    }
    if (open >= STREAMS_MAX) {
      throw new AppError("exhausted", `Cannot watch: open watches must be <= ${STREAMS_MAX}`);
    }
    const feed = twins.subscribe({ capacity: CAPACITY, ...(device ? { device } : {}) });
    const body = streamBody(async function* (gone) {
      open++;
      try {
        const encoder = new TextEncoder();
        for (;;) {
          const item = await nextOrBeat(feed.next.bind(feed), gone);
          if (gone.aborted) return;
          yield encoder.encode(item ? toEvents(item) : ": still here\n\n");
        }
      } finally {
        open--;
        feed.close();
      }
    });
    const headers = { "content-type": "text/event-stream", "cache-control": "no-store" };
    return c.body(body, 200, headers);
  };
}

/** Undefined after a while without anything, and when the client has gone. */
async function nextOrBeat(
  next: (signal: AbortSignal) => Promise<FeedItem>,
  gone: AbortSignal,
): Promise<FeedItem | undefined> {
  const either = AbortSignal.any([gone, AbortSignal.timeout(BEAT_MS)]);
  try {
    return await next(either);
  } catch (error) {
    if (either.aborted) return undefined;
    throw error;
  }
}

function toEvents(item: FeedItem): string {
  if (item.kind === "resync") return "event: resync\ndata: {}\n\n";
  return item.changes.map((change) =>
    `event: ${change.kind}\ndata: ${JSON.stringify(changeView(change))}\n\n`
  ).join("");
}
