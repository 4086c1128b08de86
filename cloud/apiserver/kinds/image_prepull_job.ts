/**
 * ImagePrePullJob of operations.kubeedge.io/v1alpha2. Its spec cannot be changed: nodes may be at
 * work on it. What is left out is written out, as for every kind, so that readers see the bounds.
 */
import { deepEqual } from "../../../shared/json/json.ts";
import {
  type ImagePrePullJob,
  PREPULL_DEFAULTS,
  PREPULL_IMAGES_MAX,
  type PrePullTemplate,
} from "../../../shared/k8s/prepull.ts";
import type { KubeObject } from "../../../shared/k8s/types.ts";
import { checkName, checkOneOf, checkRange } from "./checks.ts";
import { defineKind } from "./define_kind.ts";
import { duplicate, type FieldError, forbidden, invalidValue, required } from "./field_error.ts";
import type { KindInfo } from "./kind_info.ts";
import { dnsSubdomainProblem } from "./names.ts";

const GROUP = "operations.kubeedge.io";
const VERSION = "v1alpha2";
const PATH = "spec.imagePrePullTemplate";
const CHECKS = ["cpu", "mem", "disk"];
const NODES_MAX = 5_000;
const WEEK_S = 7 * 24 * 3_600;
const REFERENCE = /^[A-Za-z0-9][\w.\-/:@]{0,1023}$/;

export const IMAGE_PREPULL_JOB: KindInfo = defineKind({
  group: GROUP,
  version: VERSION,
  kind: "ImagePrePullJob",
  plural: "imageprepulljobs",
  namespaced: false,
  hasStatus: true,
  generationFields: ["spec"],
  subresources: [{
    name: "status",
    verbs: ["get", "patch", "update"],
    responseKind: { group: GROUP, version: VERSION, kind: "ImagePrePullJob" },
  }],
  default: withDefaults,
  prepareCreate: ({ status: _told, ...object }) => object as KubeObject, // told by nodes
  validate: (object) => checkTemplate(templateOf(object)),
  validateUpdate: (object, old) =>
    deepEqual(object["spec"], old["spec"])
      ? []
      : [forbidden("spec", "a job cannot be changed; make another")],
});

function templateOf(object: KubeObject): PrePullTemplate | undefined {
  return (object as ImagePrePullJob).spec?.imagePrePullTemplate; // by decodeJson()
}

function withDefaults(object: KubeObject): KubeObject {
  const template = templateOf(object);
  if (!template) return object;
  const filled = {
    ...template,
    checkItems: template.checkItems?.length ? template.checkItems : PREPULL_DEFAULTS.checkItems,
    failureTolerate: template.failureTolerate || PREPULL_DEFAULTS.failureTolerate,
    concurrency: template.concurrency || PREPULL_DEFAULTS.concurrency,
    timeoutSeconds: template.timeoutSeconds || PREPULL_DEFAULTS.timeoutSeconds,
    retryTimes: template.retryTimes ?? PREPULL_DEFAULTS.retryTimes,
  };
  return { ...object, spec: { imagePrePullTemplate: filled } };
}

function checkTemplate(template: PrePullTemplate | undefined): FieldError[] {
  if (!template) return [required(PATH)];
  const errors: FieldError[] = [];
  checkImages(errors, template.images ?? []);
  checkNodes(errors, template);
  const { checkItems = [], failureTolerate = "", imageSecrets } = template;
  checkItems.forEach((item, i) => checkOneOf(errors, `${PATH}.checkItems[${i}]`, item, CHECKS));
  if (!/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(failureTolerate)) {
    const detail = "must be a share between 0 and 1, such as 0.1";
    errors.push(invalidValue(`${PATH}.failureTolerate`, failureTolerate, detail));
  }
  checkRange(errors, `${PATH}.concurrency`, template.concurrency, [1, NODES_MAX]);
  checkRange(errors, `${PATH}.timeoutSeconds`, template.timeoutSeconds, [1, WEEK_S]);
  checkRange(errors, `${PATH}.retryTimes`, template.retryTimes, [0, 100]);
  if (imageSecrets) {
    const parts = imageSecrets.split("/");
    if (parts.length !== 2 || parts.some((part) => dnsSubdomainProblem(part))) {
      const detail = "must be namespace/name of a secret";
      errors.push(invalidValue(`${PATH}.imageSecrets`, imageSecrets, detail));
    }
  }
  return errors;
}

function checkImages(errors: FieldError[], images: readonly string[]): void {
  const path = `${PATH}.images`;
  if (images.length === 0) errors.push(required(path));
  if (images.length > PREPULL_IMAGES_MAX) {
    errors.push(invalidValue(path, images.length, `must have at most ${PREPULL_IMAGES_MAX} items`));
    return;
  }
  images.forEach((image, i) => {
    if (!REFERENCE.test(image)) {
      errors.push(invalidValue(`${path}[${i}]`, image, "must be an image reference"));
    }
    if (images.indexOf(image) < i) errors.push(duplicate(`${path}[${i}]`, image));
  });
}

function checkNodes(errors: FieldError[], { nodeNames = [], labelSelector }: PrePullTemplate) {
  const path = `${PATH}.nodeNames`;
  if (labelSelector && nodeNames.length > 0) {
    errors.push(invalidValue(path, nodeNames, "must not be given together with labelSelector"));
  }
  if (!labelSelector && nodeNames.length === 0) {
    errors.push(required(path, "either nodeNames or labelSelector"));
  }
  if (nodeNames.length > NODES_MAX) {
    errors.push(invalidValue(path, nodeNames.length, `must have at most ${NODES_MAX} items`));
    return;
  }
  const seen = new Set<string>();
  nodeNames.forEach((name, i) => {
    checkName(errors, `${path}[${i}]`, name, dnsSubdomainProblem);
    if (seen.has(name)) errors.push(duplicate(`${path}[${i}]`, name));
    seen.add(name);
  });
}
