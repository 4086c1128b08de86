/** The local API as commands use it: where it is, and its answers and refusals. */
import type { FlagSpec, Invocation } from "../../shared/cli/command.ts";
import { readAddresses } from "../../shared/addresses.ts";
import { AppError } from "../../shared/errors.ts";
import type { StatusObject } from "../../shared/k8s/types.ts";
import { readApiToken } from "../api_files.ts";
import { DEFAULT_DATA_DIR } from "./settings.ts";

const DEFAULT_SERVER = "http://127.0.0.1:10550";

export const SERVER_FLAGS: FlagSpec[] = [
  { name: "server", value: "URL", help: `Local API (default: what runs on the data folder)` },
  { name: "data-dir", value: "DIR", help: `Data folder (default ${DEFAULT_DATA_DIR})` },
];

export class LocalApiClient {
  readonly #server: string;
  readonly #dataDir: string;

  private constructor(server: string, dataDir = DEFAULT_DATA_DIR) {
    this.#server = server.replace(/\/+$/, "");
    this.#dataDir = dataDir;
  }

  /** `--server`, else the address a running edge wrote down, else the default port. */
  static async find(invocation: Invocation): Promise<LocalApiClient> {
    const named = invocation.flag("server");
    const dataDir = invocation.flag("data-dir");
    if (named !== undefined) return new LocalApiClient(named, dataDir);
    try {
      const { api } = await readAddresses(dataDir ?? DEFAULT_DATA_DIR);
      if (api) return new LocalApiClient(api, dataDir);
    } catch (error) {
      if (dataDir !== undefined) throw error;
    }
    return new LocalApiClient(DEFAULT_SERVER);
  }

  /** The answer to a GET; a refusal becomes an AppError with the server's own sentence. */
  async get(path: string, signal: AbortSignal, accept = "application/json"): Promise<Response> {
    return await this.#ask(path, { signal, headers: { accept } }, signal);
  }

  /** The answer to an act, which shows the token of the data folder. */
  async act(
    method: "POST" | "DELETE" | "PATCH",
    path: string,
    signal: AbortSignal,
    body?: unknown,
  ): Promise<Response> {
    const authorization = `Bearer ${await readApiToken(this.#dataDir)}`;
    const init = { method, signal, headers: { authorization } };
    const sent = body === undefined ? init : { ...init, body: JSON.stringify(body) };
    return await this.#ask(path, sent, signal);
  }

  async #ask(path: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(this.#server + path, init);
    } catch (cause) {
      signal.throwIfAborted();
      throw new AppError("unavailable", `Cannot reach the local API at ${this.#server}`, {}, {
        cause,
      });
    }
    if (response.ok) return response;
    const text = await response.text();
    throw new AppError(
      "invalid",
      refusal(text) ?? `${path}: HTTP ${response.status} ${text.trim()}`,
    );
  }
}

/** The message of a Kubernetes Status, when that is what the text holds. */
function refusal(text: string): string | undefined {
  try {
    const status: Partial<StatusObject> = JSON.parse(text);
    return status.kind === "Status" ? status.message : undefined;
  } catch {
    return undefined; // not JSON: the caller shows it as it is
  }
}
