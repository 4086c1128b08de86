/**
 * `/stats/summary` and `/metrics/resource`: kubelet's paths, the same for the site and through the
 * tunnel. What is asked for is looked up when it is asked for.
 */
import type { Hono } from "hono";
import { errorChain, isAppError } from "../../../shared/errors.ts";
import type { Summary } from "../../../shared/k8s/stats_summary.ts";
import { roomLogger } from "../../../shared/log.ts";
import { renderResourceMetrics, RESOURCE_METRICS_TYPE } from "./resource_metrics.ts";

export interface LocalStats {
  summary(onlyCpuAndMemory: boolean): Promise<Summary>;
}

export function addStats(app: Hono, stats: LocalStats): void {
  app.on(["GET", "POST"], "/stats/summary", async (c) => {
    const only = c.req.query("only_cpu_and_memory");
    return c.json(await stats.summary(only === "true" || only === "1"));
  });
  app.get("/metrics/resource", async (c) => {
    const summary = await summaryOrNone(stats);
    const body = renderResourceMetrics(summary);
    return c.text(body, 200, { "content-type": RESOURCE_METRICS_TYPE });
  });
}

/** A scrape that failed is a sample that says so, not an error page. */
async function summaryOrNone(stats: LocalStats): Promise<Summary | undefined> {
  try {
    return await stats.summary(true);
  } catch (error) {
    if (!isAppError(error)) throw error;
    roomLogger("edge", "api").warn("Cannot read usage", { error: errorChain(error) });
    return undefined;
  }
}
