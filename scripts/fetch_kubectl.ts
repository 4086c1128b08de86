/**
 * Part of scripts/setup: makes sure there is a kubectl, and with `--tests` both the oldest and the
 * newest version that clients of the API are held against. Finding is enough; fetching is for
 * machines that have none.
 */
import { errorChain } from "../shared/errors.ts";
import { anyKubectl, ensureKubectls } from "../tests/support/kubectl.ts";

if (import.meta.main) {
  try {
    if (Deno.args.includes("--tests")) await ensureKubectls();
    else if (!await anyKubectl()) throw new Error("Cannot find or fetch a kubectl");
  } catch (error) {
    console.error(errorChain(error));
    Deno.exit(1);
  }
}
