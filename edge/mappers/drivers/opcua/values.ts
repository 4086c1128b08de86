/** Values of nodes as properties have them, and back. Pure. */
import { Buffer } from "node:buffer";
import type { DataType, Variant } from "node-opcua-variant";
import { AppError } from "../../../../shared/errors.ts";
import { isTrue } from "../../settings.ts";
import type { Library } from "./load_library.ts";

type Types = Pick<Library, "DataType" | "VariantArrayType">;

/** A value as `valueText` takes it. */
export function fromVariant(types: Types, { dataType, arrayType, value }: Variant): unknown {
  if (arrayType !== types.VariantArrayType.Scalar) {
    return JSON.stringify(Array.from(value, (each) => plain(types, dataType, each)));
  }
  return plain(types, dataType, value);
}

function plain({ DataType }: Types, dataType: DataType, value: unknown): unknown {
  if ((dataType === DataType.Int64 || dataType === DataType.UInt64) && Array.isArray(value)) {
    const [high, low] = value;
    const bits = (BigInt(high) << 32n) | BigInt(low);
    return dataType === DataType.Int64 ? BigInt.asIntN(64, bits) : bits;
  }
  if (dataType === DataType.Float && typeof value === "number") {
    return Number(value.toPrecision(9)) === Math.fround(value)
      ? value
      : Number(value.toPrecision(7));
  }
  if (value instanceof Date) return value.toISOString();
  if (dataType === DataType.LocalizedText && typeof value === "object" && value !== null) {
    return Reflect.get(value, "text") ?? "";
  }
  // a list of them is JSON
  return typeof value === "bigint" ? value.toString() : value;
}

/** Throws AppError "invalid" for a type that is not written, and for text that is no such value. */
export function toVariantValue({ DataType }: Types, dataType: DataType, text: string): unknown {
  switch (dataType) {
    case DataType.Boolean:
      return isTrue(text);
    case DataType.Int64:
    case DataType.UInt64: {
      const bits = BigInt.asUintN(64, BigInt(text));
      return [Number(bits >> 32n), Number(bits & 0xffff_ffffn)];
    }
    case DataType.String:
      return text;
    case DataType.ByteString:
      return Buffer.from(text, "base64");
    case DataType.LocalizedText:
      return { text };
    default:
      break;
  }
  const number = Number(text);
  const isNumber = dataType >= DataType.SByte && dataType <= DataType.Double;
  if (isNumber && Number.isFinite(number)) return number;
  throw new AppError("invalid", `Cannot write a node of type ${DataType[dataType]}`);
}
