/**
 * The hand that works the Kubernetes API in the demo: a plain kubectl, or curl where no kubectl is
 * to be had. Every act is shown as the command that is really run.
 */
import { join } from "@std/path";
import { run } from "../../tests/support/process.ts";
import type { Site } from "../../tests/support/site.ts";
import type { Teller } from "./teller.ts";

export interface ClusterHand {
  readonly name: string;
  nodes(): Promise<void>;
  apply(file: string): Promise<void>;
  pod(name: string): Promise<void>;
  log(name: string): Promise<void>;
  remove(name: string): Promise<void>;
}

export async function clusterHand(site: Site, teller: Teller): Promise<ClusterHand> {
  return site.hasKubectl ? new KubectlHand(site, teller) : await CurlHand.make(site, teller);
}

class KubectlHand implements ClusterHand {
  readonly name: string;
  readonly #site: Site;
  readonly #teller: Teller;

  constructor(site: Site, teller: Teller) {
    this.name = `kubectl ${site.kubectl.minor}`;
    this.#site = site;
    this.#teller = teller;
  }

  nodes = () => this.#act(["get", "nodes"]);
  apply = (file: string) => this.#act(["apply", "-f", file]);
  pod = (name: string) => this.#act(["get", "pod", name, "-o", "wide"]);
  log = (name: string) => this.#act(["logs", name, "--tail=3"]);
  remove = (name: string) => this.#act(["delete", "pod", name]);

  async #act(args: string[]): Promise<void> {
    await this.#teller.act(`kubectl ${args.join(" ")}`, this.#site.kubectl.run(args));
  }
}

const API = "/api/v1/namespaces/default/pods";

class CurlHand implements ClusterHand {
  readonly name = "curl";
  readonly #site: Site;
  readonly #teller: Teller;

  private constructor(site: Site, teller: Teller) {
    this.#site = site;
    this.#teller = teller;
  }

  static async make(site: Site, teller: Teller): Promise<CurlHand> {
    const header = `header = "authorization: Bearer ${site.cloud.token}"\n`;
    const authority = join(site.dir, "ca.crt");
    await Deno.writeTextFile(authority, site.cloud.authority);
    const settings = `${header}cacert = "${authority}"\nsilent\nshow-error\nfail\n`;
    await Deno.writeTextFile(join(site.dir, "curlrc"), settings, { mode: 0o600 });
    return new CurlHand(site, teller);
  }

  async nodes(): Promise<void> {
    await this.#act("/api/v1/nodes/" + this.#site.nodeName, [], false);
    const node = await this.#site.cloud.node(this.#site.nodeName);
    const ready = node.status?.conditions?.find(({ type }) => type === "Ready");
    this.#teller.output(`${node.metadata.name}  Ready=${ready?.status}  ${ready?.message ?? ""}`);
  }

  async apply(file: string): Promise<void> {
    const type = "content-type: application/yaml";
    await this.#act(API, ["-H", type, "--data-binary", `@${file}`], false);
  }

  async pod(name: string): Promise<void> {
    await this.#act(`${API}/${name}`, [], false);
    const { status, spec } = await this.#site.cloud.pod(name);
    this.#teller.output(`${name}  ${status?.phase}  ${status?.podIP ?? ""}  ${spec?.nodeName}`);
  }

  log = (name: string) => this.#act(`${API}/${name}/log?tailLines=3`, [], true);
  remove = (name: string) => this.#act(`${API}/${name}`, ["-X", "DELETE"], false);

  async #act(path: string, extra: string[], show: boolean): Promise<void> {
    const args = ["-K", join(this.#site.dir, "curlrc"), ...extra, this.#site.cloud.server + path];
    const quoted = args.map((word) => /[ ?]/.test(word) ? `'${word}'` : word);
    const done = await run("curl", args);
    const result = show ? done : { ...done, stdout: "" };
    await this.#teller.act(`curl ${quoted.join(" ")}`, Promise.resolve(result));
  }
}
