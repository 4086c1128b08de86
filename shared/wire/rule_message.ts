/**
 * What rules (rules.kubeedge.io) send between node and cloud: a message of an MQTT topic, or an
 * application's request for a REST target, on its way up, as a report; and the paths of the tunnel
 * on its way down.
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

/** What an application at the node asks of a REST target, which is asked by POST with the body. */
export interface RuleRequest {
  /** Told from all others; the same when it is sent again. */
  id: string;
  /** What rules name as `target_url`. */
  url: string;
  /** Base64: reports are JSON values. */
  body: string;
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
/** PUT: which URLs applications of the node may ask for; JSON, a list. */
export const RULE_URLS_PATH = "/rules/urls";
/** POST /<id of a request>: what the target answered, or why it was never asked. */
export const RULE_ANSWERS_PATH = "/rules/answers";
/** Any method, /<port>/<path>: pass on to the service on the node's loopback. */
export const RULE_SERVICE_PATH = "/rules/service";

export const MESSAGE_ID_HEADER = "x-skerry-message-id";
/** Of an answer: the target's status, 100 to 599; 0 when the body says why there is no answer. */
export const ANSWER_STATUS_HEADER = "x-skerry-answer-status";
/** Largest answer of a target that an application gets. */
export const RULE_ANSWER_BYTES_MAX = 1024 * 1024;

export function parseRuleMessage(value: unknown): RuleMessage {
  const { id, filter, topic, payload } = Object(value) as Partial<RuleMessage>; // checked below
  const areTexts = [filter, topic].every(isText);
  if (!areTexts) throw invalid("message needs id, filter and topic");
  return {
    id: parseId(id, "message.id"),
    filter: String(filter),
    topic: String(topic),
    payload: parseBytes(payload, "message.payload"),
  };
}

export function parseRuleRequest(value: unknown): RuleRequest {
  const { id, url, body } = Object(value) as Partial<RuleRequest>; // checked below
  if (!isText(url)) throw invalid("request.url must be a non-empty text");
  return {
    id: parseId(id, "request.id"),
    url: String(url),
    body: parseBytes(body, "request.body"),
  };
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "" && value.length <= TOPIC_CHARS_MAX;
}

/** It travels as a header and in paths. */
function parseId(value: unknown, path: string): string {
  if (typeof value === "string" && /^[\w.-]{1,128}$/.test(value)) return value;
  throw invalid(`${path} must be of 1 to 128 letters, digits, ".", "_" and "-"`);
}

function parseBytes(value: unknown, path: string): string {
  if (typeof value !== "string" || value.length > BASE64_CHARS_MAX) {
    throw invalid(`${path} must be at most ${RULE_PAYLOAD_BYTES_MAX} bytes`);
  }
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(value) || value.length % 4 !== 0) {
    throw invalid(`${path} must be base64`);
  }
  return value;
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
