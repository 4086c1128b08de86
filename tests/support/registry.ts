/**
 * A registry for tests: the reading half of the distribution API (`/v2/`, manifests by tag or
 * digest, blobs) over plain HTTP on a free loopback port, which containerd accepts for loopback
 * hosts. It counts what it served, and can be told to fail.
 */
import { SystemClock } from "../../shared/clock.ts";
import { digest, type Image } from "./images.ts";

const MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE = "application/vnd.docker.container.image.v1+json";
const LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip";

interface Blob {
  readonly type: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

export class Registry implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #blobs = new Map<string, Blob>();
  /** "repository:tag" to manifest digest. */
  readonly #tags = new Map<string, string>();
  readonly served = { manifests: 0, blobs: 0 };
  /** When set, every request but the ping is answered with this status. */
  failWith: number | undefined;
  /** "user:password" to show (basic authentication) for anything but nothing. */
  account: string | undefined;
  /** How long a blob takes to begin. */
  blobDelayMs = 0;
  /** Blobs under way now, and the most there ever were. */
  readonly load = { now: 0, most: 0 };

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  /** HOST:PORT, to stand before the repository in an image reference. */
  get host(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** Serves `image` as `<host>/<repository>:<tag>` and gives that reference. */
  async add(image: Image, repository: string, tag: string): Promise<string> {
    const config = await this.#put(CONFIG_TYPE, image.config);
    const layer = await this.#put(LAYER_TYPE, image.layer);
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: { mediaType: CONFIG_TYPE, size: image.config.length, digest: config },
      layers: [{ mediaType: LAYER_TYPE, size: image.layer.length, digest: layer }],
    };
    const data = new TextEncoder().encode(JSON.stringify(manifest));
    this.#tags.set(`${repository}:${tag}`, await this.#put(MANIFEST_TYPE, data));
    return `${this.host}/${repository}:${tag}`;
  }

  /** Digest of a manifest that `add` made. */
  digestOf(repository: string, tag: string): string {
    return this.#tags.get(`${repository}:${tag}`) ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }

  async #delay(): Promise<void> {
    this.load.most = Math.max(this.load.most, ++this.load.now);
    await new SystemClock().sleep(this.blobDelayMs);
    this.load.now--;
  }

  async #put(type: string, data: Uint8Array<ArrayBuffer>): Promise<string> {
    const name = await digest(data);
    this.#blobs.set(name, { type, data });
    return name;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (this.account && request.headers.get("authorization") !== `Basic ${btoa(this.account)}`) {
      const refused = fault(401, "UNAUTHORIZED", "authentication required");
      refused.headers.set("www-authenticate", 'Basic realm="tests"');
      return refused;
    }
    if (pathname === "/v2/") return Response.json({});
    if (this.failWith !== undefined) return fault(this.failWith, "UNKNOWN", "told to fail");
    const match = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(pathname);
    if (!match) return fault(404, "NAME_UNKNOWN", pathname);
    const [, repository, kind, reference = ""] = match;
    const name = this.#tags.get(`${repository}:${reference}`) ?? reference;
    const blob = this.#blobs.get(name);
    if (!blob) {
      return fault(404, kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN", reference);
    }
    if (kind === "blobs" && this.blobDelayMs > 0) await this.#delay();
    if (request.method === "GET") this.served[kind === "blobs" ? "blobs" : "manifests"]++;
    const type = kind === "blobs" ? "application/octet-stream" : blob.type;
    const headers = {
      "content-type": type,
      "content-length": String(blob.data.length),
      "docker-content-digest": name,
    };
    return new Response(request.method === "HEAD" ? null : blob.data, { headers });
  }
}

function fault(status: number, code: string, detail: string): Response {
  return Response.json({ errors: [{ code, message: code, detail }] }, { status });
}
