/** Puts the rules between API server, hub and sink. */
import type { Clock } from "../shared/clock.ts";
import { AppError } from "../shared/errors.ts";
import { GVR } from "../shared/k8s/gvr.ts";
import type { Random } from "../shared/random.ts";
import type { Store } from "../shared/store/port.ts";
import type { ApiServer } from "./apiserver/app.ts";
import type { NodeSessions } from "./hub/port.ts";
import { Informer } from "./kube/informer.ts";
import type { KubeClient } from "./kube/port.ts";
import type { Nodes, Rule, RuleEndpoint, WhoIs } from "./rules/port.ts";
import { RestTargets } from "./rules/rest_targets.ts";
import { Rules } from "./rules/rules.ts";

export interface RulesRoomOptions {
  api: ApiServer;
  kube: KubeClient;
  store: Store;
  /** PEMs of REST targets' authorities; "" for none. */
  caFile: string;
  clock: Clock;
  random: Random;
  /** Undefined until the hub is made. */
  sessions: () => NodeSessions | undefined;
}

export function buildRules({ api, sessions, caFile, ...options }: RulesRoomOptions): Rules {
  const { kube, clock, random } = options;
  return new Rules({
    ...options,
    rules: new Informer<Rule>(kube, GVR.rules, { clock, random }),
    endpoints: new Informer<RuleEndpoint>(kube, GVR.ruleEndpoints, { clock, random }),
    nodes: nodesOf(sessions),
    targets: new RestTargets(caFile),
    whoIs: whoIsOf(api),
  });
}

function nodesOf(sessions: () => NodeSessions | undefined): Nodes {
  const made = (): NodeSessions => {
    const found = sessions();
    if (found) return found;
    throw new AppError("unavailable", "Cannot reach nodes: no hub yet");
  };
  return {
    get: (node) => sessions()?.get(node),
    list: () => sessions()?.list() ?? [],
    subscribe: (listener) => made().subscribe(listener),
    fetch: (node, request) => made().fetch(node, request),
  };
}

/** The API server says whose a token is, by the way `kubectl auth whoami` goes. */
function whoIsOf(api: ApiServer): WhoIs {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  return async (authorization) => {
    const request = new Request("http://api/apis/authentication.k8s.io/v1/selfsubjectreviews", {
      method: "POST",
      headers: { authorization, "content-type": "application/json" },
      body: JSON.stringify(review),
    });
    const response = await api.app.fetch(request, {});
    const answer = await response.json();
    if (!response.ok) return undefined;
    const { username = "", groups = [] } = answer.status?.userInfo ?? {};
    return typeof username === "string" && username !== "" ? { username, groups } : undefined;
  };
}
