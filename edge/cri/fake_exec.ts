/** Commands run in a container of the fake runtime: ExecSync on the injected clock. */
import { create } from "@bufbuild/protobuf";
import { AppError } from "../../shared/errors.ts";
import {
  type ExecSyncRequest,
  type ExecSyncResponse,
  ExecSyncResponseSchema,
} from "../../shared/gen/runtime/v1/api_pb.ts";
import { sleep } from "./fake_container.ts";
import { type FakeProgram, programOfCommand } from "./fake_program.ts";
import type { FakeWorld } from "./fake_world.ts";
import { DEADLINE_REASON } from "./port.ts";

/** The runtime keeps this much of each stream and drops the rest without an error. */
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

export async function fakeExec(
  world: FakeWorld,
  request: ExecSyncRequest,
  signal: AbortSignal,
): Promise<ExecSyncResponse> {
  const container = world.container(request.containerId);
  container.running();
  const program = world.options.exec?.(container.config, request.cmd) ??
    programOfCommand(request.cmd);
  if (!program) {
    throw new AppError(
      "internal",
      `failed to exec in container: exec: "${request.cmd[0] ?? ""}": ` +
        "executable file not found in $PATH",
    );
  }
  return await runProgram(world, program, Number(request.timeout), signal);
}

async function runProgram(
  world: FakeWorld,
  program: FakeProgram,
  timeoutSeconds: number,
  signal: AbortSignal,
): Promise<ExecSyncResponse> {
  const output = { stdout: "", stderr: "" };
  let leftMs = timeoutSeconds > 0 ? timeoutSeconds * 1000 : Infinity;
  let exitCode = 0;
  for (const step of program.steps) {
    if (step.kind === "print") output[step.stream] += step.text;
    else if (step.kind === "exit") {
      exitCode = step.code;
      break;
    } else {
      await sleep(world.clock, Math.min(step.ms, leftMs), signal);
      if (step.ms >= leftMs) throw execTimeout(timeoutSeconds);
      leftMs -= step.ms;
    }
  }
  const bytes = (text: string) => new TextEncoder().encode(text).subarray(0, OUTPUT_BYTES_MAX);
  const { stdout, stderr } = output;
  return create(ExecSyncResponseSchema, {
    stdout: bytes(stdout),
    stderr: bytes(stderr),
    exitCode,
  });
}

function execTimeout(seconds: number): AppError {
  return new AppError(
    "unavailable",
    `failed to exec in container: timeout ${seconds}s exceeded: context deadline exceeded`,
    { call: "ExecSync", reason: DEADLINE_REASON },
  );
}
