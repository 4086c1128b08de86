/** What GET /version says: a Kubernetes version clients can reason with, and ours. */

/** The Kubernetes API level served; kubectl warns when it is more than one minor away. */
const KUBERNETES = { major: "1", minor: "33" };

/** `version` is the program's own, "0.1.0". */
export function versionInfo(version: string): Record<string, string> {
  return {
    major: KUBERNETES.major,
    minor: KUBERNETES.minor,
    gitVersion: `v${KUBERNETES.major}.${KUBERNETES.minor}.0+skerry.${version}`,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "",
    compiler: "deno",
    platform: `${Deno.build.os}/${Deno.build.arch === "x86_64" ? "amd64" : "arm64"}`,
  };
}
