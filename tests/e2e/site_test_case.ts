/**
 * A test over a whole site. The site is the test's own; when the test fails, the last lines of
 * every program are shown before all is cleared away. What a site must not leave on the machine is
 * checked at the end of each.
 */
import { assertEquals } from "@std/assert";
import { type Part, testWith } from "../support/requirements.ts";
import { type Site, type SiteOptions, startSite } from "../support/site.ts";
import { leftovers } from "../support/site_sweep.ts";

const PARTS: readonly Part[] = ["root", "containerd", "cni", "busybox", "kubectl", "ip", "curl"];

export interface SiteContext {
  readonly site: Site;
  readonly t: Deno.TestContext;
}

export type SiteCase = (context: SiteContext) => Promise<void>;

export interface SiteTestOptions extends SiteOptions {
  /** What the test needs of the machine beside the usual. */
  parts?: readonly Part[];
}

export function siteTest(name: string, body: SiteCase, options: SiteTestOptions = {}): void {
  testWith([...PARTS, ...options.parts ?? []], name, async (t) => {
    const site = await startSite(options);
    const bridge = site.bridge;
    try {
      await body({ site, t });
    } catch (error) {
      console.error(await site.tails());
      throw error;
    } finally {
      await site[Symbol.asyncDispose]();
    }
    assertEquals(await leftovers(site.dir, bridge), []);
  });
}
