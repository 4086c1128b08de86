/**
 * One direction of a call, at its receiving end: bytes that have arrived and wait to be read. A
 * sender waits for `room`, as HTTP/2's window makes it: so much may be sent and not yet read.
 */

/** Messages sent and not yet read. */
const WINDOW = 16;

export class Pipe {
  /** Called once when nothing more can come: ended, failed, or the reader went away. */
  onEnd: (() => void) | undefined;
  /** Called when the reader goes away before the end. */
  onReturn: (() => void) | undefined;
  #items: Uint8Array[] = [];
  #end: { error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;
  #roomWaiters: (() => void)[] = [];
  #sent = 0;
  #read = 0;

  push(bytes: Uint8Array): void {
    if (this.#end) return;
    this.#items.push(bytes);
    this.#wake?.();
  }

  /** No more comes after what has arrived. */
  end(): void {
    this.#close(undefined);
  }

  /** Breaks: what has arrived and was not read is lost. */
  fail(error: Error): void {
    this.#items = [];
    this.#close(error);
  }

  /** Counts one message as sent and resolves when the next may be. */
  room(): Promise<void> {
    this.#sent++;
    if (this.#sent - this.#read < WINDOW || this.#end) return Promise.resolve();
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  async *map<T>(convert: (bytes: Uint8Array) => T): AsyncGenerator<T> {
    let isOver = false;
    try {
      for (;;) {
        const bytes = this.#items.shift();
        if (bytes) {
          this.#read++;
          this.#releaseRoom();
          yield convert(bytes);
          continue;
        }
        if (this.#end) {
          isOver = true;
          if (this.#end.error) throw this.#end.error;
          return;
        }
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      if (!isOver) this.onReturn?.();
    }
  }

  #close(error: Error | undefined): void {
    if (this.#end) return;
    this.#end = { error };
    this.#wake?.();
    this.#releaseRoom();
    this.onEnd?.();
  }

  #releaseRoom(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const wake of waiters) wake();
  }
}
