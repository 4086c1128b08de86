import { assertEquals } from "@std/assert";
import { destinationKey, routesOf } from "./routes.ts";

const CASES: [what: string, pushMethod: Record<string, unknown>, expected: unknown][] = [
  [
    "http with scheme and port",
    { http: { hostName: "http://h/", port: 8080, requestPath: "in", timeout: 5 } },
    [{
      destination: { kind: "http", address: "http://h:8080" },
      detail: { path: "/in", timeoutMs: 5_000 },
    }],
  ],
  [
    "http without scheme, port or path",
    { http: { hostName: "h" } },
    [{ destination: { kind: "http", address: "http://h" }, detail: { path: "" } }],
  ],
  [
    "mqtt",
    { mqtt: { address: "b:1883", topic: "t/1", qos: 1, retained: true } },
    [{
      destination: { kind: "mqtt", address: "tcp://b:1883" },
      detail: { path: "t/1", qos: 1, retain: true },
    }],
  ],
  [
    "redis, its own port",
    { dbMethod: { redis: { redisClientConfig: { addr: "r", db: 3, poolsize: 9 } } } },
    [{ destination: { kind: "redis", address: "r:6379", scope: { db: "3" } }, detail: {} }],
  ],
  [
    "two at once",
    {
      otel: { endpointURL: "http://c:4318" },
      dbMethod: { TDEngine: { TDEngineClientConfig: { addr: "t:6041", dbName: "d" } } },
    },
    [
      { destination: { kind: "otel", address: "http://c:4318" }, detail: {} },
      {
        destination: { kind: "tdengine", address: "t:6041", scope: { database: "d" } },
        detail: {},
      },
    ],
  ],
];

for (const [what, pushMethod, expected] of CASES) {
  Deno.test(`routesOf(): ${what}`, () => {
    assertEquals(routesOf(pushMethod), { routes: expected as never, problems: [] });
  });
}

Deno.test("routesOf() says what cannot be used, and uses the rest", () => {
  const { routes, problems } = routesOf({
    http: { port: 1 },
    mqtt: { address: "b", topic: "a/#" },
    otel: { endpointURL: "nowhere" },
    dbMethod: { mysql: { mysqlClientConfig: { addr: "m", database: "d", userName: "u" } } },
  });
  assertEquals(routes.map(({ destination }) => destination.kind), ["mysql"]);
  assertEquals(problems, [
    "pushMethod.http: no hostName",
    'pushMethod.mqtt: "a/#" is no topic to publish to',
    'pushMethod.otel: "nowhere" is no URL',
  ]);
});

Deno.test("destinationKey() tells buckets of one server apart, and not their order", () => {
  const key = (scope: Record<string, string>) =>
    destinationKey({ kind: "influxdb2", address: "http://i", scope });
  assertEquals(key({ org: "o", bucket: "a" }), key({ bucket: "a", org: "o" }));
  assertEquals(key({ org: "o", bucket: "a" }) === key({ org: "o", bucket: "b" }), false);
});
