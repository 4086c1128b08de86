/**
 * DMI as other rooms see it: which mappers have registered, and how each of them is. A mapper
 * stands for a protocol; the newest registration counts.
 */
import type { KubeObject } from "../../shared/k8s/types.ts";

/** What DMI needs of the ledger. */
export interface DmiObjects {
  get<T extends KubeObject>(key: string): T | undefined;
}

/** `known`: registered in an earlier run, not reached yet in this one. */
export type MapperConnection =
  | { kind: "known" }
  | { kind: "connected"; sinceMs: number }
  | { kind: "away"; sinceMs: number; problem: string };

export interface MapperStatus {
  protocol: string;
  name: string;
  version: string;
  /** Path of its socket. */
  address: string;
  connection: MapperConnection;
  /** Devices it was told of. */
  devices: number;
  /** Devices and models it is still to be told of. */
  waiting: number;
}

export interface MapperRefusal {
  /** What it was told last that it did not take, and its words. */
  call: string;
  message: string;
}

export interface Mappers {
  list(): MapperStatus[];
  ofProtocol(protocol: string): MapperStatus | undefined;
  /** What the mapper did not take of a device. */
  refusal(protocol: string, device: { namespace: string; name: string }): MapperRefusal | undefined;
}

/** Calls of mappers since the program began, and those of now. */
export interface DmiCounts {
  calls: number;
  served: number;
  waiting: number;
  refused: number;
  /** Protocols a mapper has registered for. */
  mappers: number;
}

/** What a node shows of DMI. */
export interface DmiFacts {
  mappers: Mappers;
  counts: () => DmiCounts;
  /** Why mappers cannot connect. */
  problem: string | undefined;
}

/** Where DMI is served, and why it is not. */
export interface DmiSocketStatus {
  path: string;
  problem: string | undefined;
}
