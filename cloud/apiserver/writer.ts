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
import type { KindInfo } from "./kinds/kind_info.ts";
import { checkPreconditions, decideDelete, decideUpdate, stampNew } from "./lifecycle.ts";
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

export class ObjectWriter {
  readonly #storage: ObjectStorage;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(storage: ObjectStorage, clock: Clock, random: Random) {
    this.#storage = storage;
    this.#clock = clock;
    this.#random = random;
  }

  async create(place: Place, object: KubeObject, dryRun: boolean): Promise<KubeObject> {
    const { kind, namespace } = place;
    if (object.metadata.resourceVersion) {
      throw badRequest("resourceVersion should not be set on objects to be created");
    }
    const { name, generateName } = object.metadata;
    if (name) return await this.#createNamed(place, name, object, dryRun);
    if (!generateName) {
      throw invalidFields(kind, "", [
        required("metadata.name", "name or generateName is required"),
      ]);
    }
    for (let tries = 1;; tries++) {
      // 58 + 5: the longest prefix that leaves room for the suffix in a 63 character name
      const generated = generateName.slice(0, 58) + nameSuffix(this.#random);
      if (this.#storage.get(kindId(kind), namespace, generated) && tries < GENERATE_TRIES) continue;
      return await this.#createNamed(place, generated, object, dryRun);
    }
  }

  async #createNamed(
    { kind, namespace }: Place,
    name: string,
    object: KubeObject,
    dryRun: boolean,
  ): Promise<KubeObject> {
    const nowMs = this.#clock.nowMs();
    const uid = this.#random.uuid();
    const named = { ...object, metadata: { ...object.metadata, name } };
    const prepared = kind.prepareCreate(kind.default(named));
    const stamped = stampNew(prepared, { namespace, name, uid, nowMs });
    const errors = kind.validateCreate(stamped);
    if (errors.length > 0) throw invalidFields(kind, name, errors);
    const written = await this.#write({ kind, namespace, name, subresource: "" }, (current) => {
      if (current) throw alreadyExists(kind, name);
      this.#requireOpenNamespace(kind, namespace, name);
      return { kind: "put", object: stamped };
    }, dryRun);
    return written.object;
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
    options: { dryRun: boolean; mayCreate?: boolean },
  ): Promise<{ object: KubeObject; created: boolean }> {
    const { kind, name, subresource } = place;
    let created = false;
    const written = await this.#write(place, async (current) => {
      if (!current) {
        const mayCreate = options.mayCreate ?? (kind.createOnUpdate && subresource === "");
        if (!mayCreate) throw notFound(kind, name);
        created = true;
        return { kind: "put", object: await this.#newByUpdate(place, change) };
      }
      const wanted = await change(current);
      checkPreconditions(kind, current, wanted.metadata);
      const next = kind.prepareUpdate(kind.default(wanted), current, subresource);
      const errors = kind.validateUpdate(next, current, subresource);
      if (errors.length > 0) throw invalidFields(kind, name, errors);
      return decideUpdate(current, next);
    }, options.dryRun);
    return { object: written.object, created };
  }

  async #newByUpdate(
    { kind, namespace, name }: NamedPlace,
    change: (current: undefined) => KubeObject | Promise<KubeObject>,
  ): Promise<KubeObject> {
    const wanted = await change(undefined);
    if (wanted.metadata.resourceVersion) throw conflict(kind, name);
    const stamped = stampNew(kind.prepareCreate(kind.default(wanted)), {
      namespace,
      name,
      uid: this.#random.uuid(),
      nowMs: this.#clock.nowMs(),
    });
    const errors = kind.validateCreate(stamped);
    if (errors.length > 0) throw invalidFields(kind, name, errors);
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
    dryRun: boolean,
  ): Promise<{ object: KubeObject; gone: boolean }> {
    const { kind, name } = place;
    const written = await this.#write(place, (current) => {
      if (!current) throw notFound(kind, name);
      return decideDelete(kind, current, options, this.#clock.nowMs());
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

export function kindId(kind: KindInfo): { group: string; resource: string } {
  return { group: kind.group, resource: kind.plural };
}
