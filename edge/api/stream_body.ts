/**
 * A streamed answer from a generator. The stream's own end says that the client has gone, so the
 * generator's signal hangs on the stream and not on the request: a request's signal also aborts
 * when an answer was delivered, and asking for it costs a warning of Deno's.
 */
export function streamBody(
  produce: (signal: AbortSignal) => AsyncGenerator<Uint8Array>,
): ReadableStream<Uint8Array> {
  const controller = new AbortController();
  const items = produce(controller.signal);
  return new ReadableStream({
    async pull(stream) {
      const { done, value } = await items.next();
      if (done) stream.close();
      else stream.enqueue(value);
    },
    async cancel(reason) {
      controller.abort(reason ?? new DOMException("The client has gone", "AbortError"));
      await items.return(undefined).catch(() => {}); // it may end by the abort it was just given
    },
  }, { highWaterMark: 0 });
}
