/**
 * What rules (rules.kubeedge.io) send between node and cloud: a message of an MQTT topic on its way
 * up, as a report, and the paths of the tunnel on its way down.
 */
import { AppError } from "../errors.ts";

export interface RuleMessage {
  /** Told from all others; the same when it is sent again. */
  id: string;
  /** The filter it was taken by: what rules name, "<namespace>/<topic>". */
  filter: string;
  topic: string;
  /** Base64: reports are JSON values. */
  payload: string;
}

/** Largest payload of a message, in bytes: what a report carries, in base64. */
export const RULE_PAYLOAD_BYTES_MAX = 1024 * 1024;
/** Topics of one node's rules. */
export const RULE_TOPICS_MAX = 1_000;
const BASE64_CHARS_MAX = 4 * Math.ceil(RULE_PAYLOAD_BYTES_MAX / 3);
const TOPIC_CHARS_MAX = 4_096;

/** PUT: which topics the node takes messages of; JSON, a list of filters. */
export const RULE_TOPICS_PATH = "/rules/topics";
/** POST ?topic=&id=: publish the body. */
export const RULE_PUBLISH_PATH = "/rules/publish";
/** Any method, /<port>/<path>: pass on to the service on the node's loopback. */
export const RULE_SERVICE_PATH = "/rules/service";

export const MESSAGE_ID_HEADER = "x-skerry-message-id";

export function parseRuleMessage(value: unknown): RuleMessage {
  const { id, filter, topic, payload } = Object(value) as Partial<RuleMessage>; // checked below
  const texts = [id, filter, topic];
  const areTexts = texts.every((text) =>
    typeof text === "string" && text !== "" && text.length <= TOPIC_CHARS_MAX
  );
  if (!areTexts) throw invalid("message needs id, filter and topic");
  if (typeof payload !== "string" || payload.length > BASE64_CHARS_MAX) {
    throw invalid(`message.payload must be at most ${RULE_PAYLOAD_BYTES_MAX} bytes`);
  }
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(payload) || payload.length % 4 !== 0) {
    throw invalid("message.payload must be base64");
  }
  return { id: String(id), filter: String(filter), topic: String(topic), payload };
}

export function parseTopics(value: unknown): string[] {
  const isList = Array.isArray(value) && value.length <= RULE_TOPICS_MAX &&
    value.every((each) =>
      typeof each === "string" && each !== "" && each.length <= TOPIC_CHARS_MAX
    );
  if (!isList) throw invalid(`topics must be a list of at most ${RULE_TOPICS_MAX} filters`);
  return [...new Set(value as string[])]; // by the check above
}

function invalid(what: string): AppError {
  return new AppError("invalid", `Cannot read rule message: ${what}`);
}
