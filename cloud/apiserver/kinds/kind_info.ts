/**
 * What the API server must know about one kind, as data plus pure functions. Handlers, discovery,
 * tables and OpenAPI read this and nothing else about a kind. Functions never change their
 * arguments; they return new objects.
 */
import type { KubeObject } from "../../../shared/k8s/types.ts";
import type { FieldError } from "./field_error.ts";

export type Verb =
  | "create"
  | "delete"
  | "deletecollection"
  | "get"
  | "list"
  | "patch"
  | "update"
  | "watch";

export interface SubresourceInfo {
  /** "status", "log", "binding", "eviction", "finalize", "ephemeralcontainers". */
  name: string;
  verbs: readonly Verb[];
  /** Kind of the body or reply, where it is not the parent's kind. */
  responseKind: { group: string; version: string; kind: string };
}

/** What a kind needs to look at beside the object itself. Reads the newest stored state. */
export interface Neighbours {
  find(
    id: { group: string; resource: string },
    namespace: string | undefined,
    name: string,
  ): KubeObject | undefined;
  /** All of one namespace. */
  list(id: { group: string; resource: string }, namespace: string | undefined): KubeObject[];
}

export interface Review {
  errors: FieldError[];
  /** For `Warning: 299` headers. */
  warnings: string[];
}

/**
 * A kind that is not stored but shown: another version of a stored kind, or a part of its objects.
 * What is stored, validated and watched is always `of`.
 */
export interface KindView {
  readonly of: KindInfo;
  fromStored(object: KubeObject): KubeObject;
  /** What is wrong with an object of this kind, before it is converted. */
  check(object: KubeObject): FieldError[];
  /** `current`: what is stored now; it keeps what this kind cannot say. */
  toStored(object: KubeObject, current: KubeObject | undefined): KubeObject;
}

export interface KindInfo {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  /** A status subresource that owns `status`; writes to the main resource do not change it. */
  readonly hasStatus: boolean;
  readonly subresources: readonly SubresourceInfo[];
  /** Name of the message in the schema tables. */
  readonly schema: string;
  /** Field selectors this kind accepts beside none; includes metadata.name and .namespace. */
  readonly selectableFields: readonly string[];
  /** True when an update may create the object (PUT on a missing name): Lease, Event. */
  readonly createOnUpdate: boolean;
  /** Values of the selectable fields ("" when absent). */
  fields(object: KubeObject): Record<string, string>;
  /** The object with what users leave out filled in. Idempotent. */
  default(object: KubeObject): KubeObject;
  /** What a create may not set is dropped or set to its first value (status, generation). */
  prepareCreate(object: KubeObject): KubeObject;
  /**
   * Takes from `object` only what a write to this (sub)resource may change, the rest from `old`:
   * server-owned metadata stays, status stays on a main write, all but status on a status write.
   * Raises `generation` when the spec changed.
   */
  prepareUpdate(object: KubeObject, old: KubeObject, subresource: string): KubeObject;
  validateCreate(object: KubeObject): FieldError[];
  validateUpdate(object: KubeObject, old: KubeObject, subresource: string): FieldError[];
  /** Rules that span objects; after the validation, not for subresources. `old`: for updates. */
  readonly review?: (
    object: KubeObject,
    old: KubeObject | undefined,
    neighbours: Neighbours,
  ) => Review;
  /** What who deletes it should know; nothing is refused for it. */
  readonly warnDelete?: (object: KubeObject, neighbours: Neighbours) => string[];
  /** Set where the objects are stored as another kind. */
  readonly view?: KindView;
}
