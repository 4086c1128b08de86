/**
 * What every namespace holds for the programs in it: the service account `default`, and the
 * certificate of the API's authority in the config map `kube-root-ca.crt`. Made where they are
 * missing, and the certificate put right where it differs. Used with the embedded API only; a real
 * cluster brings its own.
 */
import { waitAtMost } from "../../shared/async/wait_at_most.ts";
import { Wakeup } from "../../shared/async/wakeup.ts";
import type { Clock } from "../../shared/clock.ts";
import { AppError, errorChain, isAbort, isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { ConfigMap, KubeObject } from "../../shared/k8s/types.ts";
import { roomLogger } from "../../shared/log.ts";
import type { KubeClient } from "../kube/port.ts";
import type { ObjectCache } from "./port.ts";

const CA_CONFIG_MAP = "kube-root-ca.crt";
const CA_KEY = "ca.crt";
const ACCOUNT = "default";
const DESCRIPTION = "Contains a CA bundle that can be used to verify the kube-apiserver.";
const RETRY_MS = 1_000;
const IDLE_MS = 600_000;

export interface ServiceAccountsOptions {
  kube: KubeClient;
  namespaces: ObjectCache<KubeObject>;
  accounts: ObjectCache<KubeObject>;
  configmaps: ObjectCache<ConfigMap>;
  /** PEM. */
  caCertificate: string;
  clock: Clock;
}

export class ServiceAccounts {
  readonly #options: ServiceAccountsOptions;
  readonly #log = roomLogger("cloud", "controllers", "service accounts");
  readonly #wakeup = new Wakeup();

  constructor(options: ServiceAccountsOptions) {
    this.#options = options;
    const { namespaces, accounts, configmaps } = options;
    namespaces.subscribe(({ before, after }) => {
      if (after && !before) this.#wakeup.wake();
    });
    accounts.subscribe(({ before, after }) => {
      if (!after && before?.metadata.name === ACCOUNT) this.#wakeup.wake();
    });
    configmaps.subscribe(({ before, after }) => {
      if (before && (after ?? before).metadata.name === CA_CONFIG_MAP) this.#wakeup.wake();
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    const { namespaces, accounts, configmaps, clock } = this.#options;
    for (const cache of [namespaces, accounts, configmaps]) await cache.ready(signal);
    while (true) {
      const isWell = await this.#pass(signal);
      await waitAtMost(this.#wakeup, clock, isWell ? IDLE_MS : RETRY_MS, signal);
    }
  }

  /** True when every namespace has what it should. */
  async #pass(signal: AbortSignal): Promise<boolean> {
    let isWell = true;
    for (const { metadata } of [...this.#options.namespaces.list()]) {
      const { name = "", deletionTimestamp } = metadata;
      if (deletionTimestamp) continue;
      try {
        await this.#ensure(name, signal);
      } catch (error) {
        if (isAbort(error, signal) || !(error instanceof AppError)) throw error;
        if (isAppError(error, "not_found", "forbidden")) continue; // the namespace is going
        this.#log.warn("Cannot fill namespace", { namespace: name, error: errorChain(error) });
        isWell = false;
      }
    }
    return isWell;
  }

  async #ensure(namespace: string, signal: AbortSignal): Promise<void> {
    const { kube, accounts, configmaps, caCertificate } = this.#options;
    if (!accounts.get(namespace, ACCOUNT)) {
      const metadata = { name: ACCOUNT, namespace };
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata };
      await orThere(kube.create<KubeObject>(GVR.serviceAccounts, account, signal));
    }
    const found = configmaps.get(namespace, CA_CONFIG_MAP);
    if (found?.data?.[CA_KEY] === caCertificate) return;
    const wanted: ConfigMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        ...found?.metadata,
        name: CA_CONFIG_MAP,
        namespace,
        annotations: { "kubernetes.io/description": DESCRIPTION },
      },
      data: { [CA_KEY]: caCertificate },
    };
    await orThere(
      found
        ? kube.update<ConfigMap>(GVR.configmaps, wanted, signal)
        : kube.create<ConfigMap>(GVR.configmaps, wanted, signal),
    );
  }
}

/** Someone else was faster: the next look sees what there is. */
async function orThere(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isAppError(error, "already_exists", "conflict")) throw error;
  }
}
