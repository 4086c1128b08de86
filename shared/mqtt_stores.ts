/**
 * In-flight stores for clients of the `mqtt` package. Its own are gone as soon as a client ends,
 * and an acknowledgement that is read in the same turn is then looked up in nothing: that throws
 * where nobody can catch it and would end the program. These stay as long as the client does.
 */
import type { IStore } from "mqtt";

/** `Store` as the loaded package exports it: it is loaded only where a broker is spoken to. */
export function lastingStores(
  Store: new (options: { clean: boolean }) => IStore,
): { incomingStore: IStore; outgoingStore: IStore } {
  return {
    incomingStore: new Store({ clean: false }),
    outgoingStore: new Store({ clean: false }),
  };
}
