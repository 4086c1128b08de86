/**
 * The durable memory of the node: every part that keeps something, over one store. Nothing here
 * runs yet; whoever opens it closes the store.
 */
import { join } from "@std/path";
import type { Clock } from "../shared/clock.ts";
import { parseQuantity, wholeValue } from "../shared/k8s/quantity.ts";
import type { Pod } from "../shared/k8s/types.ts";
import type { Random } from "../shared/random.ts";
import type { Disk } from "../shared/store/disk.ts";
import { type DurableStore, openStore } from "../shared/store/durable_store.ts";
import { SealingCodec } from "../shared/store/sealing_codec.ts";
import { WriteBudget } from "../shared/store/write_budget.ts";
import type { EdgeConfig } from "./config.ts";
import { DeviceRoom } from "./device_room.ts";
import { careForDisk } from "./disk_care.ts";
import type { DmiFacts } from "./dmi/port.ts";
import { DurableIntents } from "./intents/durable_intents.ts";
import { isSecretRow } from "./meta/buckets.ts";
import { DurableEventLog } from "./meta/event_log.ts";
import { DurableHistory } from "./meta/history.ts";
import { DurableLedger } from "./meta/ledger.ts";
import { DurableOutbox } from "./meta/outbox.ts";
import { DurablePodRecords } from "./meta/pod_records.ts";
import { sealSecrets } from "./meta/seal_secrets.ts";
import { PushRoom } from "./push_room.ts";
import type { HistoryLimits } from "./twins/history_index.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

export interface Memory {
  store: DurableStore;
  diskBudget: WriteBudget;
  history: DurableHistory;
  ledger: DurableLedger;
  outbox: DurableOutbox;
  records: DurablePodRecords;
  events: DurableEventLog;
  intents: DurableIntents;
  /** Filled in once there is an agent. */
  statics: { pods: () => readonly Pod[] | undefined };
  devices: DeviceRoom;
  push: PushRoom;
}

/** What memory needs of the machine. */
export interface MemoryPorts {
  clock: Clock;
  random: Random;
  disk: Disk;
  /** Seals secrets at rest; without it they lie in plain. */
  storeKey?: Uint8Array;
  /** Mappers by protocol, their calls, and why none can connect. */
  dmi?: () => DmiFacts | undefined;
}

export async function openMemory(
  config: EdgeConfig,
  { clock, random, disk, storeKey, dmi }: MemoryPorts,
): Promise<Memory> {
  const codec = storeKey && new SealingCodec({ key: storeKey, random, isSecret: isSecretRow });
  const store = await openStore({
    dir: join(config.dataDir, "store"),
    disk,
    clock,
    ...(codec ? { codec } : {}),
  });
  const outbox = new DurableOutbox({ store, clock });
  const ledger = new DurableLedger(store);
  // in the first commit there is: behind it the loss is not told again
  if (store.recovery.lostCommits) await ledger.distrust([outbox.skipLost()]);
  if (codec) await sealSecrets(store, codec.keyId);
  const { nodeName } = config;
  const diskBudget: WriteBudget = new WriteBudget({
    clock,
    limitBytes: config.store.dailyWriteBudgetMb * 1_000_000,
    store,
    written: () => store.stats().written,
    onState: (budget) => careForDisk(budget, { nodeName, store, events }),
  });
  const sparing = () => diskBudget.exceeded;
  const history = new DurableHistory({ store, clock, sparing });
  const events = new DurableEventLog({ store, outbox, clock, random, nodeName, history });
  const historyLimits = deviceHistoryLimits(config);
  const devices = new DeviceRoom({ store, ledger, outbox, clock, sparing, historyLimits });
  const statics: Memory["statics"] = { pods: () => undefined };
  return {
    store,
    diskBudget,
    statics,
    outbox,
    ledger,
    history,
    records: new DurablePodRecords({ store, outbox, history }),
    events,
    intents: new DurableIntents({
      store,
      outbox,
      ledger,
      clock,
      random,
      staticPods: () => statics.pods(),
      twins: () => devices.twins,
    }),
    devices,
    push: new PushRoom({
      devices,
      store,
      clock,
      random,
      config: config.push,
      hasMapper: (protocol) => dmi?.()?.mappers.ofProtocol(protocol) !== undefined,
    }),
  };
}

function deviceHistoryLimits({ store }: EdgeConfig): HistoryLimits {
  const { deviceHistoryDays, deviceHistoryMaxSize, deviceHistoryRecords } = store;
  return {
    ttlMs: deviceHistoryDays * DAY_MS,
    bytesMax: wholeValue(parseQuantity(deviceHistoryMaxSize)),
    rowsMax: deviceHistoryRecords,
  };
}
