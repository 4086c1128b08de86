/**
 * Executes writes for handlers: default, prepare and validate through the kind's functions, then
 * one write to storage. The order and the errors are those of the kube-apiserver. With `dryRun`
 * everything is checked and answered, and nothing is stored.
 */
import type { Clock } from "../../shared/clock.ts";
import { nameSuffix, type Random } from "../../shared/random.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import type { DeleteOptions } from "../kube/port.ts";
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  invalidFields,
  notFound,
} from "./errors.ts";
import { required } from "./kinds/field_error.ts";
import type { KindInfo, Neighbours } from "./kinds/kind_info.ts";
import { checkPreconditions, decideDelete, decideUpdate, stampNew } from "./lifecycle.ts";
import { shown } from "./negotiate.ts";
import type { Decision, ObjectStorage, Written } from "./storage.ts";

export interface Place {
  kind: KindInfo;
  namespace: string | undefined;
}

export interface NamedPlace extends Place {
  name: string;
  /** "" for the object itself. */
  subresource: string;
}

/** 8 tries: a clash of 27^5 suffixes is rare; eight in a row means the prefix is exhausted. */
const GENERATE_TRIES = 8;

export interface WriteOptions {
  dryRun: boolean;
  /** Gathers what the client should know although the write is done. */
  warnings?: string[];
}

/** Adds to a new object what depends on others, after its defaults; or refuses it. */
export type Admission = (kind: KindInfo, object: KubeObject) => KubeObject;

export class ObjectWriter {
  readonly #storage: ObjectStorage;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #neighbours: Neighbours;
  readonly #admit: Admission | undefined;

  constructor(storage: ObjectStorage, clock: Clock, random: Random, admit?: Admission) {
    this.#admit = admit;
    this.#storage = storage;
    this.#clock = clock;
    this.#random = random;
    this.#neighbours = {
      find: (id, namespace, name) => storage.get(id, namespace, name),
      list: (id, namespace) => storage.list(id, namespace),
    };
  }

  async create(place: Place, object: KubeObject, options: WriteOptions): Promise<KubeObject> {
    const { kind, namespace } = place;
    if (object.metadata.resourceVersion) {
      throw badRequest("resourceVersion should not be set on objects to be created");
    }
    const { name, generateName } = object.metadata;
    if (name) return await this.#createNamed(place, name, object, options);
    if (!generateName) {
      throw invalidFields(kind, "", [
        required("metadata.name", "name or generateName is required"),
      ]);
    }
    for (let tries = 1;; tries++) {
      // 58 + 5: the longest prefix that leaves room for the suffix in a 63 character name
      const generated = generateName.slice(0, 58) + nameSuffix(this.#random);
      if (this.#storage.get(kindId(kind), namespace, generated) && tries < GENERATE_TRIES) continue;
      return await this.#createNamed(place, generated, object, options);
    }
  }

  async #createNamed(
    { kind, namespace }: Place,
    name: string,
    object: KubeObject,
    options: WriteOptions,
  ): Promise<KubeObject> {
    const nowMs = this.#clock.nowMs();
    const uid = this.#random.uuid();
    const named = { ...object, metadata: { ...object.metadata, name } };
    const stamped = this.#newObject(kind, named, { namespace, name, uid, nowMs }, options);
    const written = await this.#write({ kind, namespace, name, subresource: "" }, (current) => {
      if (current) throw alreadyExists(kind, name);
      this.#requireOpenNamespace(kind, namespace, name);
      return { kind: "put", object: stamped };
    }, options.dryRun);
    return written.object;
  }

  /** As it is stored: converted, defaulted, prepared, stamped and found good. */
  #newObject(
    kind: KindInfo,
    wanted: KubeObject,
    stamp: { namespace: string | undefined; name: string; uid: string; nowMs: number },
    { warnings }: WriteOptions,
  ): KubeObject {
    const stored = storedKind(kind);
    const target = toStored(kind, wanted, undefined);
    const prepared = stampNew(stored.prepareCreate(stored.default(target)), stamp);
    const stamped = this.#admit?.(stored, prepared) ?? prepared;
    const errors = stored.validateCreate(stamped);
    if (errors.length > 0) throw invalidFields(kind, stamp.name, errors);
    this.#review(kind, stamped, undefined, warnings);
    return stamped;
  }

  #review(
    kind: KindInfo,
    object: KubeObject,
    old: KubeObject | undefined,
    warnings: string[] | undefined,
  ): void {
    const review = storedKind(kind).review?.(object, old, this.#neighbours);
    if (!review) return;
    if (review.errors.length > 0) {
      throw invalidFields(kind, object.metadata.name ?? "", review.errors);
    }
    warnings?.push(...review.warnings);
  }

  /** A new object may only be put into a namespace that is there and stays there. */
  #requireOpenNamespace(kind: KindInfo, namespace: string | undefined, name: string): void {
    if (namespace === undefined) return;
    const found = this.#storage.get({ group: "", resource: "namespaces" }, undefined, namespace);
    if (!found) throw notFound({ group: "", plural: "namespaces" }, namespace);
    if (found.metadata.deletionTimestamp) {
      const why = `unable to create new content in namespace ${namespace} because it is being ` +
        "terminated";
      throw forbidden(kind, name, why);
    }
  }

  /**
   * Replaces what `change` makes of the current object. `change` sees undefined only when the kind
   * allows an update to create, or when `mayCreate`.
   */
  async update(
    place: NamedPlace,
    change: (current: KubeObject | undefined) => KubeObject | Promise<KubeObject>,
    options: WriteOptions & { mayCreate?: boolean },
  ): Promise<{ object: KubeObject; created: boolean }> {
    const { kind, name, subresource } = place;
    let created = false;
    const written = await this.#write(place, async (current) => {
      if (!current) {
        const mayCreate = options.mayCreate ?? (kind.createOnUpdate && subresource === "");
        if (!mayCreate) throw notFound(kind, name);
        created = true;
        return { kind: "put", object: await this.#newByUpdate(place, change, options) };
      }
      const seen = shown(kind, current);
      const wanted = await change(seen);
      checkPreconditions(kind, seen, wanted.metadata);
      const stored = storedKind(kind);
      const target = stored.default(toStored(kind, wanted, current));
      const next = stored.prepareUpdate(target, current, subresource);
      const errors = stored.validateUpdate(next, current, subresource);
      if (errors.length > 0) throw invalidFields(kind, name, errors);
      if (subresource === "") this.#review(kind, next, current, options.warnings);
      return decideUpdate(current, next);
    }, options.dryRun);
    return { object: written.object, created };
  }

  async #newByUpdate(
    { kind, namespace, name }: NamedPlace,
    change: (current: undefined) => KubeObject | Promise<KubeObject>,
    options: WriteOptions,
  ): Promise<KubeObject> {
    const wanted = await change(undefined);
    if (wanted.metadata.resourceVersion) throw conflict(kind, name);
    const stamp = { namespace, name, uid: this.#random.uuid(), nowMs: this.#clock.nowMs() };
    const stamped = this.#newObject(kind, wanted, stamp, options);
    this.#requireOpenNamespace(kind, namespace, name);
    return stamped;
  }

  /** Stores what `change` makes of the object, unprepared: for the server's own acts. */
  async replaceWhole(
    place: NamedPlace,
    change: (current: KubeObject) => KubeObject,
    dryRun: boolean,
  ): Promise<KubeObject> {
    const written = await this.#write(place, (current) => {
      if (!current) throw notFound(place.kind, place.name);
      return decideUpdate(current, change(current));
    }, dryRun);
    return written.object;
  }

  /** `gone` says whether the object was removed, or only marked. */
  async delete(
    place: NamedPlace,
    options: DeleteOptions,
    { dryRun, warnings }: WriteOptions,
  ): Promise<{ object: KubeObject; gone: boolean }> {
    const { kind, name } = place;
    const written = await this.#write(place, (current) => {
      if (!current) throw notFound(kind, name);
      const decision = decideDelete(kind, current, options, this.#clock.nowMs());
      const { warnDelete } = storedKind(kind);
      if (warnings && warnDelete) warnings.push(...warnDelete(current, this.#neighbours));
      return decision;
    }, dryRun);
    return { object: written.object, gone: written.kind === "delete" };
  }

  async #write(
    { kind, namespace, name }: NamedPlace,
    decide: (current: KubeObject | undefined) => Decision | Promise<Decision>,
    dryRun: boolean,
  ): Promise<Written> {
    const id = kindId(kind);
    if (!dryRun) return await this.#storage.write(id, namespace, name, decide);
    const before = this.#storage.get(id, namespace, name);
    const decision = await decide(before);
    const object = decision.kind === "put" ? decision.object : before!;
    return { kind: decision.kind, object, before };
  }
}

/** Where the objects of a kind are stored. */
export function kindId(kind: KindInfo): { group: string; resource: string } {
  const { group, plural } = storedKind(kind);
  return { group, resource: plural };
}

function storedKind(kind: KindInfo): KindInfo {
  return kind.view?.of ?? kind;
}

function toStored(kind: KindInfo, object: KubeObject, current: KubeObject | undefined): KubeObject {
  if (!kind.view) return object;
  const errors = kind.view.check(object);
  if (errors.length > 0) throw invalidFields(kind, object.metadata.name ?? "", errors);
  return kind.view.toStored(object, current);
}
