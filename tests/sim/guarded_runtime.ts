/**
 * The fake runtime as one process of an edge sees it: every call is a call of a port of its life. A
 * process may be killed at each, and one that was killed hears of nothing.
 */
import type { FakeRuntime } from "../../edge/cri/fake_runtime.ts";
import type { ContainerRuntime } from "../../edge/cri/port.ts";
import type { Life } from "./life.ts";

export function guardedRuntime(
  runtime: FakeRuntime,
  life: Life,
  onCall: (call: string) => void,
): ContainerRuntime {
  return new Proxy<ContainerRuntime>(runtime, {
    get: (target, name, receiver) => {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof value !== "function") return value;
      const method = value.bind(target);
      if (name === "containerEvents") {
        return (signal: AbortSignal) => guardedEvents(method(signal), life);
      }
      return (...args: unknown[]) => {
        onCall(String(name));
        return life.call(() => method(...args));
      };
    },
  });
}

async function* guardedEvents<T>(events: AsyncGenerator<T>, life: Life): AsyncGenerator<T> {
  try {
    for (;;) {
      const next = await life.call(() => events.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await events.return(undefined);
  }
}
