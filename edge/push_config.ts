/** What an operator may set of the data pipeline: the `push` section of EdgeConfig. */
import { oneOf, type Parser, section, text, whole } from "../shared/config.ts";

export interface PushConfig {
  /** Who the edge is to the servers its devices push to; "" for none. See edge/push. */
  credentialsFile: string;
  /** Of http and mqtt: KubeEdge's texts, or the whole sample in JSON. */
  payload: "kubeedge" | "json";
  /**
   * Who pushes for devices of a mapper that has registered: the mapper, as in KubeEdge, or the edge
   * what the mapper reports.
   */
  mappers: "mapper" | "edge";
  /** What may wait for one server, in MiB and days; the oldest go first. */
  queueMb: number;
  queueDays: number;
}

export const pushConfig: Parser<PushConfig> = section<PushConfig>({
  credentialsFile: text(""),
  payload: oneOf("kubeedge", ["kubeedge", "json"]),
  mappers: oneOf("mapper", ["mapper", "edge"]),
  queueMb: whole(16, 1, 4_096),
  queueDays: whole(7, 1, 365),
});
