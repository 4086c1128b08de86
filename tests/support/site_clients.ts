/**
 * Clients of a site's two APIs for tests, bench and demo: the cloud's with the admin token over
 * TLS, the edge's over plain loopback HTTP. They poll cheaper than a kubectl process would.
 */
import { parse } from "yaml";
import { AppError } from "../../shared/errors.ts";
import { until } from "./until.ts";
import type { Condition, Event, KubeList, Node, Pod } from "../../shared/k8s/types.ts";

interface Kubeconfig {
  clusters: { cluster: { server: string; "certificate-authority-data": string } }[];
  users: { user: { token: string } }[];
}

export interface CloudListen {
  /** Each HOST:PORT. */
  readonly api: string;
  readonly hub: string;
  readonly admin: string;
}

export class CloudClient {
  readonly server: string;
  readonly listen: CloudListen;
  readonly token: string;
  /** PEM of the authority that signed the API's certificate. */
  readonly authority: string;
  readonly #http: Deno.HttpClient;

  private constructor(config: Kubeconfig, listen: CloudListen) {
    const cluster = config.clusters[0]?.cluster;
    const user = config.users[0]?.user;
    if (!cluster || !user) throw new AppError("invalid", "Cannot read kubeconfig: it is empty");
    this.server = cluster.server;
    this.listen = listen;
    this.token = user.token;
    this.authority = atob(cluster["certificate-authority-data"]);
    this.#http = Deno.createHttpClient({ caCerts: [this.authority] });
  }

  /** `addresses` as the cloud's addresses.json gives them. */
  static async open(addresses: unknown, kubeconfig: string): Promise<CloudClient> {
    const named = Object(addresses);
    const config = await until(async () => {
      const found: Kubeconfig = parse(await Deno.readTextFile(kubeconfig));
      return found.clusters[0]?.cluster.server === named.api && found;
    }, { what: `${kubeconfig} with ${named.api}` });
    const address = (name: string) => String(named[name]).replace(/^https?:\/\//, "");
    const listen = { api: address("api"), hub: address("hub"), admin: address("admin") };
    return new CloudClient(config, listen);
  }

  static podPath(name: string, namespace = "default"): string {
    return `/api/v1/namespaces/${namespace}/pods/${name}`;
  }

  /** The raw answer to a request. */
  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${this.token}`);
    return fetch(this.server + path, { ...init, headers, client: this.#http });
  }

  /** JSON of a GET, or undefined for 404. */
  async find(path: string): Promise<unknown> {
    const response = await this.fetch(path);
    const text = await response.text();
    if (response.status === 404) return undefined;
    if (!response.ok) throw new AppError("internal", `GET ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  async get<T>(path: string): Promise<T> {
    const value = await this.find(path);
    if (value === undefined) throw new AppError("not_found", `GET ${path}: not found`);
    return value as T; // what the server answers is what the caller then checks
  }

  pod(name: string): Promise<Pod> {
    return this.get(CloudClient.podPath(name));
  }

  node(name: string): Promise<Node> {
    return this.get(`/api/v1/nodes/${name}`);
  }

  /** Events about the object called `name`. */
  async events(name: string): Promise<Event[]> {
    const query = new URLSearchParams({ fieldSelector: `involvedObject.name=${name}` });
    const list: KubeList<Event> = await this.get(`/api/v1/namespaces/default/events?${query}`);
    return list.items;
  }

  close(): void {
    this.#http.close();
  }
}

export class EdgeClient {
  /** http://127.0.0.1:PORT */
  readonly url: string;

  /** `addresses` as the edge's addresses.json gives them. */
  constructor(addresses: unknown) {
    this.url = String(Object(addresses).api);
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url + path, init);
  }

  async text(path: string): Promise<string> {
    return await (await this.fetch(path)).text();
  }

  async get<T>(path: string): Promise<T> {
    const response = await this.fetch(path);
    const text = await response.text();
    if (!response.ok) throw new AppError("internal", `GET ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /** The state of the link: live, dialing, backoff or idle. */
  async linkState(): Promise<string> {
    const status = await this.get<{ link: { state: string } }>("/v1/status");
    return status.link.state;
  }

  pod(name: string): Promise<Pod> {
    return this.get(CloudClient.podPath(name));
  }
}

export function conditionOf(object: Node | Pod, type: string): Condition | undefined {
  return object.status?.conditions?.find((condition) => condition.type === type);
}

/** What says that a container was not restarted: its id and when it started. */
export function identityOf(pod: Pod): { id: string; startedAt: string; restarts: number } {
  const status = pod.status?.containerStatuses?.[0];
  return {
    id: status?.containerID ?? "",
    startedAt: status?.state?.running?.startedAt ?? "",
    restarts: status?.restartCount ?? -1,
  };
}
