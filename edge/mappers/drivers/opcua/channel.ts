/** node-opcua's secure channel with promises; lost when it closes by itself. */
import type { Buffer } from "node:buffer";
import type { MessageSecurityMode, Request, Response } from "node-opcua-secure-channel";
import type { SecurityPolicy } from "node-opcua-secure-channel";
import { AppError, errorChain } from "../../../../shared/errors.ts";
import type { Library } from "./load_library.ts";
import type { Papers } from "./papers.ts";

/** How what is said is kept from others. */
export interface Protection {
  mode: MessageSecurityMode;
  policy: SecurityPolicy;
  serverCertificate: Buffer;
  papers: Papers;
}

export class Channel {
  readonly url: string;
  /** Undefined: None. */
  readonly protection: Protection | undefined;
  readonly #lost = new AbortController();
  readonly #layer: InstanceType<Library["ClientSecureChannelLayer"]>;
  #closed = false;

  constructor(library: Library, url: string, protection?: Protection) {
    this.url = url;
    this.protection = protection;
    this.#layer = new library.ClientSecureChannelLayer({
      securityMode: protection?.mode ?? library.MessageSecurityMode.None,
      securityPolicy: protection?.policy ?? library.SecurityPolicy.None,
      ...(protection && {
        serverCertificate: protection.serverCertificate,
        parent: parentOf(library, protection.papers),
      }),
      transportTimeout: 10_000,
      // the device is connected anew by its mapper, with its back-off
      connectionStrategy: { maxRetry: 0, initialDelay: 100, maxDelay: 100 },
    });
    this.#layer.on("close", (error) => this.#lose(error));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async open(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#layer.create(this.url, (error) => error ? reject(this.unavailable(error)) : resolve());
    await promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  /** An AppError "unavailable" for whatever the server does not answer well. */
  async ask(request: Request, signal: AbortSignal): Promise<Response> {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    const ends = [signal, this.lost];
    const onAbort = () => reject((signal.aborted ? signal : this.lost).reason);
    for (const end of ends) end.addEventListener("abort", onAbort, { once: true });
    this.#layer.performMessageTransaction(request, (error, response) => {
      if (error || !response) return reject(this.unavailable(error));
      const { serviceResult } = response.responseHeader;
      if (serviceResult.isNotGood()) reject(this.unavailable(serviceResult.name));
      else resolve(response);
    });
    return await promise.finally(() => {
      for (const end of ends) end.removeEventListener("abort", onAbort);
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // the session has said goodbye; a farewell of the channel would leave a timer behind that waits
    // for an answer there is none to
    await new Promise<void>((resolve) => this.#layer.abortConnection(() => resolve()));
    this.#layer.dispose();
  }

  unavailable(cause: unknown): AppError {
    const why = errorChain(cause).split("\n")[0]?.slice(0, 200) ?? "";
    return new AppError("unavailable", `OPC UA server ${this.url}: ${why}`);
  }

  #lose(cause: unknown): void {
    this.#lost.abort(this.unavailable(cause ?? "the connection ended"));
  }
}

/** What the channel signs with. */
function parentOf(library: Library, { chain, privateKeyPem }: Papers) {
  const key = library.makePrivateKeyFromPem(privateKeyPem);
  const provider = new library.StaticCertificateChainProvider([...chain], key);
  return Object.assign(provider, { clientName: "skerry" });
}
