/**
 * Rules (rules.kubeedge.io/v1) between the REST end of the cloud, the event buses of nodes,
 * services and applications at nodes, and REST targets. What the cloud takes upon itself is on disk
 * before it is taken for accepted, and is delivered at least once; each carries an id that stays
 * the same.
 */
import type { TaskScope } from "../../shared/async/task_scope.ts";
import type { Clock } from "../../shared/clock.ts";
import { isAppError } from "../../shared/errors.ts";
import { GVR } from "../../shared/k8s/gvr.ts";
import type { Random } from "../../shared/random.ts";
import type { Store } from "../../shared/store/port.ts";
import type { Report } from "../../shared/wire/report.ts";
import type { RuleMessage, RuleRequest } from "../../shared/wire/rule_message.ts";
import type { ReportOutcome, ReportSink } from "../hub/port.ts";
import type { KubeClient } from "../kube/port.ts";
import { Asker } from "./asker.ts";
import { Mailbox } from "./mailbox.ts";
import type { RestTargets } from "./rest_targets.ts";
import type { Followed, Nodes, Rule, RuleEndpoint, WhoIs } from "./port.ts";
import { Postman } from "./postman.ts";
import { RestEnd } from "./rest.ts";
import { RuleCounts } from "./rule_counts.ts";
import { RuleTable } from "./rule_table.ts";
import { TopicTeller } from "./topic_teller.ts";

/** Reports taken lately: one that comes again after a lost acknowledgement is not taken again. */
const IDS_MAX = 10_000;

export interface RulesOptions {
  kube: KubeClient;
  rules: Followed<Rule>;
  endpoints: Followed<RuleEndpoint>;
  store: Store;
  nodes: Nodes;
  targets: RestTargets;
  whoIs: WhoIs;
  clock: Clock;
  random: Random;
}

export class Rules {
  readonly #options: RulesOptions;
  readonly #mailbox: Mailbox;
  readonly #counts: RuleCounts;
  readonly #asker: Asker;
  readonly #postman: Postman;
  readonly #teller: TopicTeller;
  readonly #rest: RestEnd;
  readonly #seen = new Set<string>();
  #table: RuleTable | undefined;

  constructor(options: RulesOptions) {
    this.#options = options;
    const { store, clock, random, kube, nodes, targets, whoIs } = options;
    const table = () => this.#rules();
    this.#mailbox = new Mailbox(store, clock);
    this.#counts = new RuleCounts(kube, clock);
    const { mailbox, counts } = { mailbox: this.#mailbox, counts: this.#counts };
    const asker = this.#asker = new Asker({ nodes, targets, table, clock });
    const delivery = { mailbox, nodes, targets, asker, counts, table };
    this.#postman = new Postman({ ...delivery, clock, random });
    this.#teller = new TopicTeller({ nodes, table, store, clock, random });
    const isNode = (name: string) => this.#isNode(name);
    this.#rest = new RestEnd({ table, mailbox, counts, nodes, isNode, whoIs, random });
  }

  /** The REST end; needs TLS around it. */
  fetch(request: Request): Promise<Response> {
    return this.#rest.fetch(request);
  }

  /** Runs in `scope`; resolves when the rules are known. */
  async start(scope: TaskScope): Promise<void> {
    const { rules, endpoints } = this.#options;
    for (const followed of [rules, endpoints]) {
      followed.changes.subscribe(() => {
        this.#table = undefined;
        this.#teller.look();
      });
    }
    scope.spawn("rules", (signal) => rules.run(signal));
    scope.spawn("rule endpoints", (signal) => endpoints.run(signal));
    await Promise.all([rules.whenSynced(scope.signal), endpoints.whenSynced(scope.signal)]);
    scope.signal.addEventListener("abort", () => this.#options.targets.close(), { once: true });
    this.#asker.start(scope);
    this.#postman.start(scope);
    scope.spawn("rule counts", (signal) => this.#counts.run(signal));
    scope.spawn("rule topics", (signal) => this.#teller.run(signal));
  }

  /** A sink that takes the messages for rules, and leaves all else to `sink`. */
  before(sink: ReportSink): ReportSink {
    return {
      apply: (node: string, report: Report, signal: AbortSignal): Promise<ReportOutcome> => {
        if (report.kind === "rule_message") return this.#take(node, report.message);
        if (report.kind === "rule_request") return this.#takeRequest(node, report.request);
        return sink.apply(node, report, signal);
      },
    };
  }

  async #take(node: string, message: RuleMessage): Promise<ReportOutcome> {
    const key = `${node} ${message.id}`;
    if (this.#seen.has(key)) return { kind: "applied" };
    const found = this.#rules().forTopic(node, message.filter);
    if (found.length === 0) return { kind: "dropped", reason: "no rule takes this topic" };
    const { id, topic } = message;
    const payload = Uint8Array.fromBase64(message.payload);
    await this.#mailbox.put(
      found.map(({ namespace, name }) => ({ id, namespace, rule: name, topic, payload })),
    );
    this.#remember(key);
    return { kind: "applied" };
  }

  async #takeRequest(node: string, { id, url, body }: RuleRequest): Promise<ReportOutcome> {
    const key = `${node} ${id}`;
    if (this.#seen.has(key)) return { kind: "applied" };
    const rule = this.#rules().forRequest(node, url);
    if (!rule) {
      const reason = `no rule of this node leads from the URL ${url}`;
      this.#asker.tell(node, id, { problem: reason });
      return { kind: "dropped", reason };
    }
    const { namespace, name } = rule;
    const payload = Uint8Array.fromBase64(body);
    await this.#mailbox.put([{ id, namespace, rule: name, topic: url, payload, asker: node }]);
    this.#remember(key);
    return { kind: "applied" };
  }

  #remember(key: string): void {
    this.#seen.add(key);
    if (this.#seen.size <= IDS_MAX) return;
    for (const oldest of this.#seen) {
      this.#seen.delete(oldest);
      break;
    }
  }

  #rules(): RuleTable {
    const { rules, endpoints } = this.#options;
    return this.#table ??= new RuleTable(rules.items.values(), endpoints.items);
  }

  async #isNode(name: string): Promise<boolean> {
    if (this.#options.nodes.get(name)) return true;
    try {
      await this.#options.kube.get(GVR.nodes, { name }, AbortSignal.timeout(10_000));
      return true;
    } catch (error) {
      if (isAppError(error, "not_found", "invalid")) return false;
      throw error;
    }
  }
}
