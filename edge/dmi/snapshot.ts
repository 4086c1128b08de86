/**
 * What a mapper is given when it registers with data, and what that makes it know. Pure. The answer
 * is bounded by what a gRPC client takes by default (4 MiB): devices that do not fit are told by
 * RegisterDevice afterwards, as those that are new.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { MapperRegisterResponseSchema } from "../../shared/gen/v1beta1/api_pb.ts";
import type { Wanted } from "./device_world.ts";

export type Snapshot = MessageInitShape<typeof MapperRegisterResponseSchema>;

const ANSWER_BYTES_MAX = 3_500_000;
/** Tag and length of an element of a list. */
const FRAME_BYTES = 6;

export class SnapshotBuilder {
  readonly #answer = create(MapperRegisterResponseSchema);
  readonly #told = new Map<string, string>();
  #bytes = 0;

  /** False when it does not fit any more. */
  add(key: string, wanted: Wanted): boolean {
    this.#bytes += wanted.bytes + FRAME_BYTES;
    if (this.#bytes > ANSWER_BYTES_MAX) return false;
    if (wanted.kind === "model") this.#answer.modelList.push(wanted.message);
    else this.#answer.deviceList.push(wanted.message);
    this.#told.set(key, wanted.digest);
    return true;
  }

  get answer(): Snapshot {
    return this.#answer;
  }

  /** Key -> digest of what the answer tells. */
  get told(): ReadonlyMap<string, string> {
    return this.#told;
  }
}
