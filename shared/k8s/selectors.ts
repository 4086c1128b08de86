/**
 * Label and field selectors: text to requirements, requirements against an object. The grammar and
 * the words of the errors are those of the Kubernetes API. Sizes are bounded by the caller's URL
 * limit; a selector never costs more than its own length per object.
 */
import { AppError } from "../errors.ts";

export type LabelOperator = "in" | "notin" | "exists" | "!exists" | "gt" | "lt";

export interface LabelRequirement {
  key: string;
  operator: LabelOperator;
  values: readonly string[];
}

export interface FieldRequirement {
  field: string;
  operator: "=" | "!=";
  value: string;
}

/** True when `labels` meet every requirement. A missing key meets "notin" and "!exists". */
export function matchLabels(
  requirements: readonly LabelRequirement[],
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return requirements.every((requirement) => meets(requirement, labels?.[requirement.key]));
}

function meets({ operator, values }: LabelRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "exists":
      return value !== undefined;
    case "!exists":
      return value === undefined;
    case "in":
      return value !== undefined && values.includes(value);
    case "notin":
      return value === undefined || !values.includes(value);
    case "gt":
      return compareWhole(value, values[0], (a, b) => a > b);
    case "lt":
      return compareWhole(value, values[0], (a, b) => a < b);
  }
}

const WHOLE = /^[+-]?[0-9]{1,18}$/;

function compareWhole(
  value: string | undefined,
  bound: string | undefined,
  holds: (a: bigint, b: bigint) => boolean,
): boolean {
  if (value === undefined || bound === undefined) return false;
  return WHOLE.test(value) && WHOLE.test(bound) && holds(BigInt(value), BigInt(bound));
}

/** True when `fields` meet every requirement; an absent field counts as "". */
export function matchFields(
  requirements: readonly FieldRequirement[],
  fields: Readonly<Record<string, string>>,
): boolean {
  return requirements.every(({ field, operator, value }) =>
    ((fields[field] ?? "") === value) === (operator === "=")
  );
}

/** Parses `labelSelector=`. Throws AppError "invalid" with facts.reason "BadRequest". */
export function parseLabelSelector(text: string): LabelRequirement[] {
  return new LabelParser(text).parse();
}

const NAME_PART = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX_PART = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** What is wrong with `key` as a label key, or undefined. */
export function labelKeyProblem(key: string): string | undefined {
  const slash = key.indexOf("/");
  const name = slash < 0 ? key : key.slice(slash + 1);
  if (slash >= 0) {
    const prefix = key.slice(0, slash);
    if (prefix === "") return "prefix part must be non-empty";
    if (prefix.length > 253) return "prefix part must be no more than 253 bytes";
    if (!PREFIX_PART.test(prefix)) {
      return "prefix part a lowercase RFC 1123 subdomain must consist of lower case " +
        "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric " +
        "character (e.g. 'example.com', regex used for validation is " +
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    }
  }
  if (name === "") return "name part must be non-empty";
  if (name.length > 63) return "name part must be no more than 63 bytes";
  if (!NAME_PART.test(name)) {
    return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start " +
      "and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', " +
      "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
  }
  return undefined;
}

/** What is wrong with `value` as a label value, or undefined. */
export function labelValueProblem(value: string): string | undefined {
  if (value === "") return undefined;
  if (value.length > 63) return "must be no more than 63 bytes";
  if (NAME_PART.test(value)) return undefined;
  return "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' " +
    "or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or " +
    "'my_value',  or '12345', regex used for validation is " +
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
}

type Token = { kind: "word" | "sign" | "end"; text: string };

class LabelParser {
  readonly #tokens: Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokenize(text);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    if (this.#peek().kind === "end") return requirements;
    while (true) {
      requirements.push(this.#requirement());
      const token = this.#take();
      if (token.kind === "end") return requirements;
      if (token.text !== "," || token.kind !== "sign") {
        throw unparsable(`found '${token.text}', expected: ',' or 'end of string'`);
      }
      if (this.#peek().kind === "end") {
        throw unparsable("found '', expected: identifier after ','");
      }
    }
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: "end", text: "" };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next++;
    return token;
  }

  #requirement(): LabelRequirement {
    const negated = this.#peek().kind === "sign" && this.#peek().text === "!";
    if (negated) this.#take();
    const key = this.#key();
    if (negated) return { key, operator: "!exists", values: [] };
    const ahead = this.#peek();
    if (ahead.kind === "end" || (ahead.kind === "sign" && ahead.text === ",")) {
      return { key, operator: "exists", values: [] };
    }
    return this.#compared(key, this.#take());
  }

  #key(): string {
    const token = this.#take();
    if (token.kind !== "word") {
      throw unparsable(`found '${token.text}', expected: !, identifier, or 'end of string'`);
    }
    const problem = labelKeyProblem(token.text);
    if (problem) throw unparsable(`key: Invalid value: "${token.text}": ${problem}`);
    return token.text;
  }

  #compared(key: string, operator: Token): LabelRequirement {
    switch (operator.text) {
      case "=":
      case "==":
        return { key, operator: "in", values: [this.#value(key)] };
      case "!=":
        return { key, operator: "notin", values: [this.#value(key)] };
      case ">":
      case "<": {
        const bound = this.#value(key);
        if (!WHOLE.test(bound)) {
          throw unparsable(
            `values[0][${key}]: Invalid value: "${bound}": for 'Gt', 'Lt' ` +
              "operators, the value must be an integer",
          );
        }
        return { key, operator: operator.text === ">" ? "gt" : "lt", values: [bound] };
      }
      case "in":
      case "notin":
        return { key, operator: operator.text, values: this.#values(key) };
      default:
        throw unparsable(`found '${operator.text}', expected: in, notin, =, ==, !=, gt, lt`);
    }
  }

  /** One value after `=`; nothing there means the empty value. */
  #value(key: string): string {
    const ahead = this.#peek();
    if (ahead.kind === "end" || (ahead.kind === "sign" && ahead.text === ",")) return "";
    if (ahead.kind !== "word") throw unparsable(`found '${ahead.text}', expected: identifier`);
    return checkedValue(key, this.#take().text);
  }

  #values(key: string): string[] {
    this.#expect("(");
    const values = new Set<string>();
    while (true) {
      if (this.#peek().kind === "word") values.add(checkedValue(key, this.#take().text));
      else values.add("");
      const token = this.#take();
      if (token.kind === "sign" && token.text === ")") return [...values].sort();
      if (token.kind !== "sign" || token.text !== ",") {
        throw unparsable(`found '${token.text}', expected: ',', or ')'`);
      }
    }
  }

  #expect(sign: string): void {
    const token = this.#take();
    if (token.kind !== "sign" || token.text !== sign) {
      throw unparsable(`found '${token.text}' expected: '${sign}'`);
    }
  }
}

function checkedValue(key: string, value: string): string {
  const problem = labelValueProblem(value);
  if (problem) throw unparsable(`values[0][${key}]: Invalid value: "${value}": ${problem}`);
  return value;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /\s+|(==|!=|[=!,()<>])|([^\s=!,()<>]+)/gy;
  for (const match of text.matchAll(pattern)) {
    if (match[1] !== undefined) tokens.push({ kind: "sign", text: match[1] });
    else if (match[2] !== undefined) tokens.push({ kind: "word", text: match[2] });
  }
  return tokens;
}

function unparsable(detail: string): AppError {
  return new AppError("invalid", `unable to parse requirement: ${detail}`, {
    reason: "BadRequest",
  });
}

/**
 * Parses `fieldSelector=`. A field outside `supported` is refused, as is anything that is not
 * `=`, `==` or `!=`. Throws AppError "invalid" with facts.reason "BadRequest".
 */
export function parseFieldSelector(
  text: string,
  supported: readonly string[],
): FieldRequirement[] {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term.trim() === "") continue;
    const { field, operator, value } = splitTerm(term, text);
    if (!supported.includes(field)) {
      throw new AppError("invalid", `field label not supported: ${field}`, {
        reason: "BadRequest",
      });
    }
    requirements.push({ field, operator, value: unescapeValue(value, text) });
  }
  return requirements;
}

/** Splits at commas that are not escaped; escapes stay in place. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index++) {
    if (text[index] === "\\") index++;
    else if (text[index] === ",") {
      terms.push(text.slice(start, index));
      start = index + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function splitTerm(term: string, selector: string): FieldRequirement {
  for (let index = 0; index < term.length; index++) {
    if (term[index] === "\\") {
      index++;
      continue;
    }
    for (const sign of ["!=", "==", "="] as const) {
      if (!term.startsWith(sign, index)) continue;
      const field = term.slice(0, index).trim();
      const operator = sign === "!=" ? "!=" : "=";
      return { field, operator, value: term.slice(index + sign.length) };
    }
  }
  throw new AppError("invalid", `invalid selector: '${selector}'; can't understand '${term}'`, {
    reason: "BadRequest",
  });
}

function unescapeValue(value: string, selector: string): string {
  let result = "";
  for (let index = 0; index < value.length; index++) {
    const char = value[index]!; // index < length
    if (char === "\\") {
      const escaped = value[++index];
      if (escaped !== "\\" && escaped !== "," && escaped !== "=") {
        throw badEscape(selector, value);
      }
      result += escaped;
    } else if (char === "=") throw badEscape(selector, value);
    else result += char;
  }
  return result;
}

function badEscape(selector: string, value: string): AppError {
  const message = `invalid selector: '${selector}'; unescaped character in value: '${value}'`;
  return new AppError("invalid", message, { reason: "BadRequest" });
}
