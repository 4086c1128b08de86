/**
 * Devices with an HTTP interface. configData of the device: `url` (or `ip`, `port`), `headers`,
 * `username` and `password`, or `token`. Of a property: `path` or `url`, `method` (GET),
 * `jsonPath`; for writing `writePath` or `writeUrl` (as read), `writeMethod` (PUT), `body`
 * (`{{value}}`), `contentType`. What several properties read from one place is fetched once.
 */
import { AppError, errorChain } from "../../../shared/errors.ts";
import { FETCH_REFUSES, fetchAnyPort, type PlainRequest } from "../../../shared/http_any_port.ts";
import { fillTemplate, type JsonPath, parseJsonPath, pick } from "../json_path.ts";
import type { Connection, CreateDriver, DriverDevice, Point, Reading } from "../port.ts";
import { badSetting, textSetting, valueText } from "../settings.ts";

const ANSWER_BYTES_MAX = 1024 * 1024;

export const createDriver: CreateDriver = () => ({
  // deno-lint-ignore require-await -- a fault of the configuration is a rejection
  open: async (device) => new HttpConnection(device),
});

class HttpConnection implements Connection {
  readonly #base: URL;
  readonly #headers: Headers;

  constructor({ config }: DriverDevice) {
    const address = textSetting(config["url"]) ?? fromParts(config);
    this.#base = parseUrl("url", address);
    this.#headers = headersOf(config);
  }

  async read(
    points: readonly Point[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Reading>> {
    const answers = new Map<string, Promise<string>>();
    const readings = new Map<string, Reading>();
    await Promise.all(points.map(async (point) => {
      const { config } = point;
      if (config["readable"] === false) return;
      try {
        const url = this.#urlOf(config["url"] ?? config["path"]);
        const method = textSetting(config["method"])?.toUpperCase() ?? "GET";
        const key = `${method} ${url}`;
        const answer = answers.get(key) ?? this.#fetch(url, { method, signal });
        answers.set(key, answer);
        readings.set(point.name, valueText(point, pick(await answer, pathOf(config["jsonPath"]))));
      } catch (error) {
        // any other is a device that is not reached
        if (!(error instanceof AppError) || error.code !== "invalid") throw error;
        readings.set(point.name, error);
      }
    }));
    return readings;
  }

  async write({ name, type, config }: Point, value: string, signal: AbortSignal) {
    const place = config["writeUrl"] ?? config["writePath"] ?? config["url"] ?? config["path"];
    const method = textSetting(config["writeMethod"])?.toUpperCase() ?? "PUT";
    const headers = { "content-type": textSetting(config["contentType"]) ?? "application/json" };
    const template = textSetting(config["body"]) ?? "{{value}}";
    const body = fillTemplate(template, type, value);
    if (method === "GET" || method === "HEAD") {
      throw badSetting(`writeMethod of ${name}`, "one that carries a body", method);
    }
    await this.#fetch(this.#urlOf(place), { method, headers, body, signal });
    return config["readable"] === false
      ? { kind: "done" as const }
      : { kind: "verify" as const, expected: value };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #urlOf(place: unknown): URL {
    return parseUrl("path", textSetting(place) ?? "", this.#base);
  }

  async #fetch(url: URL, init: PlainRequest & { signal: AbortSignal }): Promise<string> {
    const headers = new Headers(this.#headers);
    for (const [name, value] of new Headers(init.headers)) headers.set(name, value);
    let response: Response;
    try {
      response = FETCH_REFUSES.has(Number(url.port))
        ? await fetchAnyPort(url.href, { ...init, headers })
        : await fetch(url, { ...init, headers });
    } catch (error) {
      throw unreachable(url, error, init.signal);
    }
    const text = await readText(response).catch((error) => {
      throw unreachable(url, error, init.signal);
    });
    if (response.ok) return text;
    const said = text.slice(0, 100).replaceAll(/\s+/g, " ").trim();
    throw new AppError("invalid", `Device answered HTTP ${response.status} ${said}`.trim());
  }
}

function unreachable(url: URL, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted || error instanceof AppError) return signal.reason ?? error;
  const { host } = url;
  return new AppError("unavailable", `Cannot reach ${host}: ${errorChain(error).slice(0, 200)}`);
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) {
      throw new AppError("invalid", `Answer must be <= ${ANSWER_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return await new Blob(chunks as BlobPart[]).text(); // chunks of a body are never shared memory
}

function fromParts(config: DriverDevice["config"]): string {
  const host = textSetting(config["ip"]) ?? textSetting(config["host"]);
  if (host === undefined) throw badSetting("url", "like http://host/path", config["url"]);
  return `http://${host}:${textSetting(config["port"]) ?? "80"}/`;
}

function parseUrl(key: string, text: string, base?: URL): URL {
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  if (url && (url.protocol === "http:" || url.protocol === "https:")) return url;
  throw badSetting(key, "like http://host/path", text);
}

function headersOf(config: DriverDevice["config"]): Headers {
  const headers = new Headers();
  const { headers: own, token, username, password } = config;
  try {
    if (typeof own === "object" && own !== null) {
      for (const [name, value] of Object.entries(own)) headers.set(name, String(value));
    }
    if (token !== undefined) headers.set("authorization", `Bearer ${textSetting(token)}`);
    else if (username !== undefined) {
      const pair = new TextEncoder().encode(`${username}:${password ?? ""}`);
      headers.set("authorization", `Basic ${pair.toBase64()}`);
    }
  } catch (error) {
    throw new AppError("invalid", `Cannot use configData: headers: ${errorChain(error)}`);
  }
  return headers;
}

function pathOf(jsonPath: unknown): JsonPath | undefined {
  return jsonPath === undefined ? undefined : parseJsonPath(textSetting(jsonPath) ?? "");
}
