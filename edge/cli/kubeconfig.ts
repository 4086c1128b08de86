/** `kubeconfig`: how plain kubectl reaches the local API over TLS, with its token. */
import { stringify } from "yaml";
import { readAddresses } from "../../shared/addresses.ts";
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { writeOut } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";
import { readApiToken, readLocalAuthority } from "../api_files.ts";
import { DEFAULT_DATA_DIR } from "./settings.ts";

export const KUBECONFIG_COMMAND: CommandSpec = {
  name: "kubeconfig",
  summary: "Print a kubeconfig for the local API (root and the group skerry)",
  flags: [{ name: "data-dir", value: "DIR", help: `Data folder (default ${DEFAULT_DATA_DIR})` }],
  run: printKubeconfig,
};

async function printKubeconfig(invocation: Invocation): Promise<number> {
  const dataDir = invocation.flag("data-dir") ?? DEFAULT_DATA_DIR;
  const { apiTls } = await readAddresses(dataDir);
  if (!apiTls) {
    throw new AppError(
      "unavailable",
      `Cannot find the API's TLS address in ${dataDir}; see /readyz`,
    );
  }
  const [authority, token] = await Promise.all([
    readLocalAuthority(dataDir),
    readApiToken(dataDir),
  ]);
  writeOut(stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "skerry-edge",
    clusters: [{
      name: "skerry-edge",
      cluster: { server: apiTls, "certificate-authority-data": btoa(authority) },
    }],
    users: [{ name: "site", user: { token } }],
    contexts: [{ name: "skerry-edge", context: { cluster: "skerry-edge", user: "site" } }],
    preferences: {},
  }));
  return 0;
}
