/**
 * Who may publish and read what at the embedded broker. Pure. Entries of a user and those of
 * everybody add up; without any entry all is allowed. A subscription is allowed when one pattern
 * covers all of it.
 */
import type { MqttAccess } from "../config.ts";
import { filterCovers, topicMatches } from "./topics.ts";

export interface Who {
  /** "" without a name. */
  user: string;
  client: string;
}

export class Acl {
  readonly #entries: readonly MqttAccess[];

  constructor(entries: readonly MqttAccess[]) {
    this.#entries = entries;
  }

  mayPublish(who: Who, topic: string): boolean {
    return this.#some(who, "write", (pattern) => topicMatches(pattern, topic));
  }

  maySubscribe(who: Who, filter: string): boolean {
    return this.#some(who, "read", (pattern) => filterCovers(pattern, filter));
  }

  #some(who: Who, what: "read" | "write", test: (pattern: string) => boolean): boolean {
    if (this.#entries.length === 0) return true;
    return this.#entries.some((entry) =>
      (entry.user === "" || entry.user === who.user) &&
      entry[what].some((pattern) => {
        const filled = fill(pattern, who);
        return filled !== undefined && test(filled);
      })
    );
  }
}

/** A name that is no single level of a topic opens nothing. */
function fill(pattern: string, { user, client }: Who): string | undefined {
  const names = { "%u": user, "%c": client };
  for (const [mark, name] of Object.entries(names)) {
    if (pattern.includes(mark) && (name === "" || /[+#/\0]/.test(name))) return undefined;
  }
  return pattern.replaceAll("%u", () => user).replaceAll("%c", () => client);
}
