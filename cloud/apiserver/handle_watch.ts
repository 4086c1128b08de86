/**
 * GET with watch=true: one JSON event a line for as long as the client stays, the time it asked for
 * has not passed and it keeps reading. The reply's head leaves at once. A selector's watch sees
 * objects enter (ADDED) and leave (DELETED) the selection.
 */
import type { Clock } from "../../shared/clock.ts";
import { isAppError } from "../../shared/errors.ts";
import type { KubeObject } from "../../shared/k8s/types.ts";
import { qualifiedResource } from "../../shared/wire/keys.ts";
import { type ApiRequest, flag, type Handler, type ServerParts, wholeNumber } from "./context.ts";
import { badRequest, failure, invalidFields } from "./errors.ts";
import { forbidden, invalidValue } from "./kinds/field_error.ts";
import { selectorOf } from "./handle_read.ts";
import { writeObject } from "./negotiate.ts";

import type { ObjectTexts } from "./object_texts.ts";
import type { Watcher } from "./watcher.ts";
import { WatchStream, type WatchWriter } from "./watch_stream.ts";
import { kindId } from "./writer.ts";

/** 30 to 60 min, as the kube-apiserver: spreads the reconnects of many clients. */
const TIMEOUT_MS_MIN = 1_800_000;

export const watchObjects: Handler = (parts, request) => {
  const { kind, query, path } = request;
  const selector = selectorOf(kind, query);
  const start = watchStart(request);
  const headers = { "content-type": "application/json", "cache-control": "no-cache, private" };
  const write = new EventWriter(parts, request);
  const resource = qualifiedResource(kindId(kind)); // of a view: what it is a view of
  let watcher: Watcher;
  try {
    watcher = parts.storage.watch.watch(resource, start.revision ?? parts.storage.revision);
  } catch (error) {
    if (!isAppError(error, "stale")) throw error;
    const status = failure(410, "Expired", error.message);
    return new Response(write.line("ERROR", status), { headers });
  }
  // Taken in the same turn as the watch began: nothing is missed, nothing comes twice.
  const initial = start.replay
    ? parts.storage.list(kindId(kind), path.namespace).filter(selector.matches)
    : [];
  const seconds = wholeNumber(query, "timeoutSeconds");
  const stream = new WatchStream({
    clock: parts.clock,
    cache: parts.storage.watch,
    watcher,
    selection: { namespace: path.namespace, matches: selector.matches },
    write,
    bookmarks: flag(query, "allowWatchBookmarks"),
    timeoutMs: seconds ? seconds * 1000 : TIMEOUT_MS_MIN * (1 + parts.random.float()),
    signal: request.request.signal,
  });
  return new Response(stream.open(initial, start.initialEventsEnd), { headers });
};

interface WatchStart {
  /** Changes after this are sent; undefined: from now. */
  revision: number | undefined;
  /** Every present object comes first, as ADDED. */
  replay: boolean;
  /** A bookmark marks the end of the replay (WatchList). */
  initialEventsEnd: boolean;
}

function watchStart({ query }: ApiRequest): WatchStart {
  const version = query.get("resourceVersion") ?? "";
  if (!/^\d{0,15}$/.test(version)) throw badRequest(`invalid resource version "${version}"`);
  const match = query.get("resourceVersionMatch");
  const initialEvents = query.get("sendInitialEvents");
  if (initialEvents !== null) {
    if (match !== "NotOlderThan") {
      throw invalidFields({ group: "meta.k8s.io", kind: "ListOptions" }, "", [
        invalidValue(
          "resourceVersionMatch",
          match ?? "",
          "must be NotOlderThan with sendInitialEvents",
        ),
      ]);
    }
    if (flag(query, "sendInitialEvents")) {
      return { revision: undefined, replay: true, initialEventsEnd: true };
    }
  } else if (match !== null && match !== "") {
    throw invalidFields({ group: "meta.k8s.io", kind: "ListOptions" }, "", [
      forbidden("resourceVersionMatch", "may be set on a watch only with sendInitialEvents"),
    ]);
  }
  const fromNow = version === "" || version === "0";
  return {
    revision: fromNow ? undefined : Number(version),
    replay: fromNow && initialEvents === null,
    initialEventsEnd: false,
  };
}

/** Events as lines of JSON, their objects in the form the client asked for. */
class EventWriter implements WatchWriter {
  readonly #clock: Clock;
  readonly #request: ApiRequest;
  readonly #texts: ObjectTexts;
  #columnsSent = false;

  constructor(parts: ServerParts, request: ApiRequest) {
    this.#clock = parts.clock;
    this.#request = request;
    this.#texts = parts.storage.texts;
  }

  line(type: string, object: unknown): string {
    return JSON.stringify({ type, object }) + "\n";
  }

  event(type: string, object: KubeObject): string {
    const { kind, form } = this.#request;
    if (form.as === "object" && !kind.view) {
      return `{"type":"${type}","object":${this.#texts.of(object)}}\n`;
    }
    const body = writeObject(kind, object, form, this.#clock.nowMs(), !this.#columnsSent);
    this.#columnsSent = true;
    return this.line(type, body);
  }

  bookmark(revision: number, annotations?: Record<string, string>): string {
    const { kind, form } = this.#request;
    const metadata = {
      resourceVersion: String(revision),
      creationTimestamp: null,
      ...(annotations ? { annotations } : {}),
    };
    const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    const object = { kind: kind.kind, apiVersion, metadata };
    if (form.as === "table") {
      const meta = { resourceVersion: String(revision) };
      const table = { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata: meta };
      return this.line("BOOKMARK", {
        ...table,
        columnDefinitions: [],
        rows: [{ cells: [], object }],
      });
    }
    if (form.as === "object") return this.line("BOOKMARK", object);
    const partial = { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata };
    return this.line("BOOKMARK", partial);
  }
}
