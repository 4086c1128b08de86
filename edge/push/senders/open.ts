/** The sender for a destination; what it is made with is loaded when the first one is needed. */
import type { Clock } from "../../../shared/clock.ts";
import { readCredentials } from "../credentials.ts";
import type { PayloadStyle } from "../formats.ts";
import type { Destination, Sender } from "../port.ts";

export interface SenderOptions {
  credentialsFile: string;
  style: PayloadStyle;
  clock: Clock;
}

/** Errors: `invalid` (the credentials file), and whatever keeps us from the destination. */
export async function openSender(
  destination: Destination,
  { credentialsFile, style, clock }: SenderOptions,
): Promise<Sender> {
  const credentials = await readCredentials(credentialsFile, destination);
  switch (destination.kind) {
    case "http": {
      const { HttpSender } = await import("./http.ts");
      return new HttpSender(destination, credentials, { style, clock });
    }
    case "mqtt": {
      const { openMqtt } = await import("./mqtt.ts");
      return await openMqtt(destination, credentials, { style, clock });
    }
    case "redis": {
      const { openRedis } = await import("./redis.ts");
      return await openRedis(destination, credentials, clock);
    }
    case "mysql": {
      const { openMysql } = await import("./mysql.ts");
      return await openMysql(destination, credentials, clock);
    }
    default: {
      const room = await import("./batch_http.ts");
      const make = {
        otel: room.otelPost,
        influxdb2: room.influxPost,
        tdengine: room.tdenginePost,
      }[destination.kind];
      return new room.BatchHttpSender(make(destination, credentials), clock);
    }
  }
}
