/** "What may I do?" and "who am I?": the SelfSubject reviews behind `kubectl auth`. */
import { isJsonObject } from "../../shared/json/json.ts";
import { toTime } from "../../shared/clock.ts";
import { ADMIN_GROUP, isAdmin } from "./authorize.ts";
import { contentTypeOf, parseObjectBody, readBody } from "./body.ts";
import { jsonResponse } from "./context.ts";
import { badRequest } from "./errors.ts";
import type { UserInfo } from "./port.ts";

const ANY_RULE = { verbs: ["*"], apiGroups: ["*"], resources: ["*"] };
const REVIEW_RULES = [
  {
    verbs: ["create"],
    apiGroups: ["authorization.k8s.io"],
    resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
  },
  { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
];
const OPEN_URLS = [
  { verbs: ["get"], nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version"] },
  { verbs: ["get"], nonResourceURLs: ["/api", "/api/*", "/apis", "/apis/*", "/openapi/*"] },
];

/** Answers POST of a review of `plural`. */
export async function answerReview(
  plural: string,
  request: Request,
  user: UserInfo,
  nowMs: number,
): Promise<Response> {
  const { value } = parseObjectBody(await readBody(request), contentTypeOf(request));
  const body = isJsonObject(value) ? value : {};
  const spec = isJsonObject(body.spec) ? body.spec : {};
  const status = statusOf(plural, spec, user);
  const metadata = plural === "selfsubjectreviews" ? { creationTimestamp: toTime(nowMs) } : {};
  return jsonResponse({ ...body, metadata, status }, { status: 201 });
}

function statusOf(plural: string, spec: Record<string, unknown>, user: UserInfo): unknown {
  const admin = isAdmin(user);
  if (plural === "selfsubjectreviews") {
    const { username, uid, groups, extra } = user;
    return { userInfo: { username, ...(uid ? { uid } : {}), groups, ...(extra ? { extra } : {}) } };
  }
  if (plural === "selfsubjectrulesreviews") {
    return {
      resourceRules: admin ? [ANY_RULE, ...REVIEW_RULES] : REVIEW_RULES,
      nonResourceRules: admin
        ? [{ verbs: ["*"], nonResourceURLs: ["*"] }, ...OPEN_URLS]
        : OPEN_URLS,
      incomplete: false,
    };
  }
  return accessStatus(spec, user, admin);
}

function accessStatus(spec: Record<string, unknown>, user: UserInfo, admin: boolean): unknown {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if (!isJsonObject(resource) && !isJsonObject(path)) {
    throw badRequest("one of spec.resourceAttributes and spec.nonResourceAttributes is required");
  }
  if (admin) return { allowed: true, reason: `member of ${ADMIN_GROUP}` };
  const open = isJsonObject(path) && path.verb === "get" &&
    OPEN_URLS.some(({ nonResourceURLs }) =>
      nonResourceURLs.some((url) => coversUrl(url, String(path.path)))
    );
  const review = isJsonObject(resource) && resource.verb === "create" &&
    REVIEW_RULES.some(({ apiGroups, resources }) =>
      apiGroups.includes(String(resource.group)) && resources.includes(String(resource.resource))
    );
  if (open || review) return { allowed: true };
  return { allowed: false, reason: `user ${user.username} is not in ${ADMIN_GROUP}` };
}

function coversUrl(pattern: string, path: string): boolean {
  return pattern.endsWith("*") ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}
