/**
 * The programs that end-to-end tests, bench and demo start: from source through the wrappers in
 * scripts/, or, where `SKERRY_PROGRAMS` names the folder of a build, the executables in it. One
 * suite runs on both.
 */
import { fromFileUrl, join } from "@std/path";

export interface Programs {
  readonly kind: "source" | "binary";
  readonly edge: string;
  readonly cloud: string;
}

/** Where to find both programs; `folder` defaults to SKERRY_PROGRAMS, then to source. */
export function findPrograms(folder = Deno.env.get("SKERRY_PROGRAMS") ?? "source"): Programs {
  if (folder === "source") {
    const scripts = fromFileUrl(new URL("../../scripts", import.meta.url));
    return {
      kind: "source",
      edge: join(scripts, "skerry-edge"),
      cloud: join(scripts, "skerry-cloud"),
    };
  }
  const named = (side: string) => join(folder, `skerry-${side}-${Deno.build.arch}`);
  return { kind: "binary", edge: named("edge"), cloud: named("cloud") };
}
