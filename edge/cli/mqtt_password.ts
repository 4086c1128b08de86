/**
 * `mqtt-password`: users of the embedded MQTT broker, in the file `mqtt.usersFile` names. The file
 * is mosquitto's; a broker that runs takes what changed within seconds.
 */
import type { CommandSpec, Invocation } from "../../shared/cli/command.ts";
import { UsageError } from "../../shared/cli/command.ts";
import { writeError, writeOut } from "../../shared/cli/run_program.ts";
import { AppError } from "../../shared/errors.ts";
import { writeFileAtomic } from "../../shared/files.ts";
import { SystemRandom } from "../../shared/random.ts";
import { formatUser, parseUsers } from "../mqtt/passwords.ts";
import { type UserEdit, userNames, withoutUser, withUser } from "../mqtt/users_file.ts";
import { askPassword } from "./ask_password.ts";
import { CONFIG_FLAGS, configFile, readSettings } from "./settings.ts";

const FILE_BYTES_MAX = 1024 * 1024;

export const MQTT_COMMANDS: CommandSpec[] = [
  {
    name: "mqtt-password",
    summary: "Add or delete a user of the MQTT broker, or set a password (asked for, or on stdin)",
    operands: "[NAME]",
    operandsMax: 1,
    flags: [
      { name: "delete", short: "D", help: "Delete the user NAME" },
      { name: "list", help: "Print the users' names" },
      { name: "file", value: "FILE", help: "The users file (default: mqtt.usersFile)" },
      ...CONFIG_FLAGS,
      { name: "output", short: "o", value: "FORMAT", help: "json, or text (the default)" },
    ],
    run: serve,
  },
];

async function serve(invocation: Invocation): Promise<number> {
  const [name] = invocation.operands;
  const output = invocation.flag("output") ?? "text";
  if (output !== "text" && output !== "json") {
    throw new UsageError(`--output must be json or text, got "${output}"`);
  }
  if (invocation.isSet("list") === (name !== undefined)) {
    throw new UsageError("give the NAME of a user, or --list");
  }
  const file = await usersFile(invocation);
  const text = await readUsers(file);
  if (name === undefined) {
    const names = userNames(text ?? "");
    writeOut(
      output === "json" ? `${JSON.stringify(names)}\n` : names.map((each) => `${each}\n`).join(""),
    );
    return 0;
  }
  const edit = await edited(text ?? "", name, invocation.isSet("delete"));
  if (!edit) throw new AppError("not_found", `There is no user "${name}" in ${file}`);
  parseUsers(edit.text); // a file the broker would not take is not written
  await writeFileAtomic(file, edit.text, 0o600);
  if (output === "json") writeOut(`${JSON.stringify({ user: name, file, done: edit.done })}\n`);
  else writeError(`User ${name} ${edit.done} in ${file}`);
  return 0;
}

async function edited(text: string, name: string, isDeleted: boolean): Promise<UserEdit> {
  if (isDeleted) return withoutUser(text, name);
  const random = new SystemRandom();
  await formatUser(name, "", random); // says what is wrong with the name before it asks
  return withUser(text, await formatUser(name, await askPassword(`user ${name}`), random));
}

/** A link stays one: what it points to is edited. */
async function usersFile(invocation: Invocation): Promise<string> {
  const given = invocation.flag("file");
  const file = given ?? (await readSettings(invocation)).mqtt.usersFile;
  if (file === "") {
    const config = configFile(invocation);
    throw new AppError(
      "invalid",
      `Cannot find the users file: mqtt.usersFile is not set in ${config}; set it, or give --file`,
    );
  }
  return await Deno.realPath(file).catch(() => file); // it is not there yet
}

/** Undefined when there is none. */
async function readUsers(file: string): Promise<string | undefined> {
  try {
    const { size } = await Deno.stat(file);
    if (size > FILE_BYTES_MAX) {
      throw new AppError("invalid", `Size must be <= ${FILE_BYTES_MAX} bytes, got ${size}`);
    }
    const text = await Deno.readTextFile(file);
    parseUsers(text);
    return text;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new AppError("unavailable", `Cannot use users file ${file}`, {}, { cause });
  }
}
