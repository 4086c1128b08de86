/**
 * `pushMethod` of a property (free-form in the house, where only the pipeline reads it) as DMI's
 * message. Pure. What is not of the right kind is left out: the mapper then uses its own default,
 * and no device is lost for it.
 */
import { create } from "@bufbuild/protobuf";
import {
  AnomalyDetectionSchema,
  type DBMethod,
  DBMethodInfluxdb2Schema,
  DBMethodMySQLSchema,
  DBMethodRedisSchema,
  DBMethodSchema,
  DBMethodTDEngineSchema,
  type PushMethod,
  PushMethodHTTPSchema,
  PushMethodMQTTSchema,
  PushMethodOTELSchema,
  PushMethodSchema,
} from "../../shared/gen/v1beta1/api_pb.ts";
import { isJsonObject, type JsonObject } from "../../shared/json/json.ts";
import { toAnyMap } from "./any_values.ts";

const INT32_MAX = 2 ** 31 - 1;

export function toPushMethod(push: JsonObject): PushMethod {
  const message = create(PushMethodSchema);
  const http = part(push, "http");
  if (http) {
    message.http = create(PushMethodHTTPSchema, {
      hostname: text(http, "hostName"),
      port: int64(http, "port"),
      requestpath: text(http, "requestPath"),
      timeout: int64(http, "timeout"),
    });
  }
  const mqtt = part(push, "mqtt");
  if (mqtt) {
    message.mqtt = create(PushMethodMQTTSchema, {
      address: text(mqtt, "address"),
      topic: text(mqtt, "topic"),
      qos: int32(mqtt, "qos"),
      retained: mqtt["retained"] === true,
    });
  }
  const otel = part(push, "otel");
  if (otel) {
    message.otel = create(PushMethodOTELSchema, { endpointURL: text(otel, "endpointURL") });
  }
  const database = part(push, "dbMethod");
  if (database) message.dbMethod = toDatabase(database);
  const anomaly = part(push, "anomalyDetection");
  if (anomaly) {
    message.anomalyDetection = create(AnomalyDetectionSchema, { data: toAnyMap(anomaly) });
  }
  return message;
}

function toDatabase(database: JsonObject): DBMethod {
  const message = create(DBMethodSchema);
  const influx = part(database, "influxdb2");
  if (influx) {
    const client = part(influx, "influxdb2ClientConfig") ?? {};
    const data = part(influx, "influxdb2DataConfig") ?? {};
    message.influxdb2 = create(DBMethodInfluxdb2Schema, {
      influxdb2ClientConfig: {
        url: text(client, "url"),
        org: text(client, "org"),
        bucket: text(client, "bucket"),
      },
      influxdb2DataConfig: {
        measurement: text(data, "measurement"),
        tag: texts(data, "tag"),
        fieldKey: text(data, "fieldKey"),
      },
    });
  }
  const redis = part(database, "redis");
  if (redis) {
    const client = part(redis, "redisClientConfig") ?? {};
    message.redis = create(DBMethodRedisSchema, {
      redisClientConfig: {
        addr: text(client, "addr"),
        db: int32(client, "db"),
        poolsize: int32(client, "poolsize"),
        minIdleConns: int32(client, "minIdleConns"),
      },
    });
  }
  const tdengine = part(database, "TDEngine");
  if (tdengine) {
    const client = part(tdengine, "TDEngineClientConfig") ?? {};
    message.tdengine = create(DBMethodTDEngineSchema, {
      tdEngineClientConfig: { addr: text(client, "addr"), dbname: text(client, "dbName") },
    });
  }
  const mysql = part(database, "mysql");
  if (mysql) {
    const client = part(mysql, "mysqlClientConfig") ?? {};
    message.mysql = create(DBMethodMySQLSchema, {
      mysqlClientConfig: {
        addr: text(client, "addr"),
        database: text(client, "database"),
        userName: text(client, "userName"),
      },
    });
  }
  return message;
}

function part(of: JsonObject, key: string): JsonObject | undefined {
  const value = of[key];
  return isJsonObject(value) ? value : undefined;
}

function text(of: JsonObject, key: string): string {
  const value = of[key];
  return typeof value === "string" ? value.toWellFormed() : "";
}

function texts(of: JsonObject, key: string): Record<string, string> {
  const found: Record<string, string> = Object.create(null);
  const values = part(of, key) ?? {};
  for (const name of Object.keys(values).sort()) {
    if (typeof values[name] === "string") found[name.toWellFormed()] = text(values, name);
  }
  return found;
}

function int64(of: JsonObject, key: string): bigint {
  const value = of[key];
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : 0n;
}

function int32(of: JsonObject, key: string): number {
  const value = of[key];
  const fits = typeof value === "number" && Number.isInteger(value) && Math.abs(value) <= INT32_MAX;
  return fits ? value : 0;
}
