/**
 * Container images made on the spot from the machine's static busybox, for runtimes without a
 * registry: `ctr images import` takes the docker-archive, and registry.ts serves the same image for
 * real pulls. Layers are gzipped; digests are the ones a registry would give.
 */
import { join } from "@std/path";
import { AppError } from "../../shared/errors.ts";
import { must, which } from "./process.ts";
import { tar, type TarEntry } from "./tar.ts";

export const BUSYBOX_IMAGE = "docker.io/library/busybox:1.36";
export const PAUSE_IMAGE = "skerry.local/pause:1";

export interface Image {
  /** Full reference, as the runtime knows it. */
  readonly name: string;
  readonly config: Uint8Array<ArrayBuffer>;
  readonly layer: Uint8Array<ArrayBuffer>;
}

export interface ImageOptions {
  name: string;
  entrypoint?: string[];
  cmd?: string[];
  env?: string[];
  workingDir?: string;
  /** Files added over busybox: path without leading "/" to content. */
  files?: Record<string, string>;
}

/** The sandbox container: sleeps, and ends at once on TERM. */
const PAUSE_SCRIPT = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done";

export function buildBusybox(name: string = BUSYBOX_IMAGE): Promise<Image> {
  return buildImage({ name, cmd: ["sh"] });
}

export function buildPause(name: string = PAUSE_IMAGE): Promise<Image> {
  return buildImage({ name, entrypoint: ["/bin/sh", "-c", PAUSE_SCRIPT] });
}

/** An image of busybox with its applets, and what `options` adds. */
export async function buildImage(options: ImageOptions): Promise<Image> {
  const rootfs = tar([...await busyboxFiles(), ...extraFiles(options.files ?? {})]);
  const config = {
    architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64",
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      Env: options.env ?? ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      ...(options.entrypoint ? { Entrypoint: options.entrypoint } : {}),
      ...(options.cmd ? { Cmd: options.cmd } : {}),
      ...(options.workingDir ? { WorkingDir: options.workingDir } : {}),
    },
    rootfs: { type: "layers", diff_ids: [await digest(rootfs)] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: "skerry tests" }],
  };
  return {
    name: options.name,
    config: new TextEncoder().encode(JSON.stringify(config)),
    layer: await gzip(rootfs),
  };
}

async function busyboxFiles(): Promise<TarEntry[]> {
  const busybox = await which("busybox");
  if (!busybox) throw new AppError("unavailable", "Cannot build images: busybox is not on PATH");
  const applets = (await must(busybox, ["--list"])).split("\n").filter((name) =>
    name !== "" && name !== "busybox"
  );
  const text = (content: string) => new TextEncoder().encode(content);
  return [
    ...["bin/", "etc/", "dev/", "proc/", "sys/", "root/", "var/", "usr/", "usr/bin/"].map((
      name,
    ) => ({
      name,
    })),
    { name: "tmp/", mode: 0o1777 },
    { name: "bin/busybox", mode: 0o755, data: await Deno.readFile(busybox) },
    ...applets.map((name) => ({ name: `bin/${name}`, mode: 0o777, linkTo: "busybox" })),
    { name: "usr/bin/env", mode: 0o777, linkTo: "../../bin/busybox" },
    {
      name: "etc/passwd",
      data: text(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
      ),
    },
    { name: "etc/group", data: text("root:x:0:\nnogroup:x:65534:\n") },
  ];
}

function extraFiles(files: Record<string, string>): TarEntry[] {
  return Object.entries(files).map(([name, content]) => ({
    name,
    mode: 0o755,
    data: new TextEncoder().encode(content),
  }));
}

async function gzip(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([data]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The content digest of `data`, "sha256:" and hexadecimal. */
export async function digest(data: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return `sha256:${hash.toHex()}`;
}

/** The docker-archive of one image, as `docker save` would write it. */
export async function dockerArchive(image: Image): Promise<Uint8Array<ArrayBuffer>> {
  const configName = `${(await digest(image.config)).slice("sha256:".length)}.json`;
  const manifest = [{ Config: configName, RepoTags: [image.name], Layers: ["layer.tar.gz"] }];
  return tar([
    { name: "manifest.json", data: new TextEncoder().encode(JSON.stringify(manifest)) },
    { name: configName, data: image.config },
    { name: "layer.tar.gz", data: image.layer },
  ]);
}

/** Writes the docker-archive of `image` into `dir` and gives its path. */
export async function writeArchive(image: Image, dir: string): Promise<string> {
  const file = join(dir, `${image.name.replaceAll(/[^\w.-]+/g, "_")}.tar`);
  await Deno.writeFile(file, await dockerArchive(image));
  return file;
}
