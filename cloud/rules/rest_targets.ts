/**
 * REST targets of rules, over the network. Those with TLS must show a certificate of an authority
 * the program knows or of one in the operator's file, which is read when the first such target is
 * asked: a file that cannot be read is as a target that is away.
 */
import { AppError } from "../../shared/errors.ts";
import { fetchAnyPort, type PlainRequest } from "../../shared/http_any_port.ts";

const FILE_BYTES_MAX = 1024 * 1024;
const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class RestTargets {
  readonly #caFile: string;
  #authorities: { caCerts: string[]; client: Deno.HttpClient } | undefined;

  /** `caFile`: PEMs; "" for none. */
  constructor(caFile: string) {
    this.#caFile = caFile;
  }

  /** A redirect is an answer: where to is not the target's to decide. */
  async fetch(url: string, request: PlainRequest): Promise<Response> {
    if (this.#caFile === "" || !url.startsWith("https:")) return await fetchAnyPort(url, request);
    this.#authorities ??= await this.#open();
    return await fetchAnyPort(url, { ...request, authorities: this.#authorities });
  }

  /** Ends connections; what is asked after it opens its own. */
  close(): void {
    this.#authorities?.client.close();
    this.#authorities = undefined;
  }

  async #open(): Promise<{ caCerts: string[]; client: Deno.HttpClient }> {
    const caCerts = await this.#read();
    return { caCerts, client: Deno.createHttpClient({ caCerts }) };
  }

  async #read(): Promise<string[]> {
    const file = this.#caFile;
    try {
      const { size } = await Deno.stat(file);
      const found = size > FILE_BYTES_MAX ? null : (await Deno.readTextFile(file)).match(PEM);
      if (found) return found;
    } catch (cause) {
      throw new AppError("unavailable", `Cannot read rest.caFile ${file}`, {}, { cause });
    }
    const want = `certificates as PEM, at most ${FILE_BYTES_MAX} bytes`;
    throw new AppError("unavailable", `Cannot use rest.caFile ${file}: it must hold ${want}`);
  }
}
