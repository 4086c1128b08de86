/** The systemd unit of the cloud. */
import { unitText, writeUnitFile } from "../../shared/cli/systemd.ts";

export const SYSTEMD_UNIT = "/etc/systemd/system/skerry-cloud.service";

/** False, and nothing changed, when the unit is there already. */
export async function writeUnit(configFile: string): Promise<boolean> {
  const text = unitText({
    description: "Skerry cloud: hub and Kubernetes API for edge nodes",
    arguments: ["run", "--config", configFile],
    after: "network-online.target",
  });
  return await writeUnitFile(SYSTEMD_UNIT, text);
}
