import { parseArgs } from "node:util";
import { KvasirError } from "../errors.ts";
import { Arguments } from "./arguments.ts";
import { type Commands, GENERAL, type Option } from "./command.ts";
import { nearest } from "./nearest.ts";

/** A command line, read; without a command, help in general or the version is asked for. */
export interface CommandLine {
  command: string | undefined;
  /** The command is to be described, not run. */
  help: boolean;
  args: Arguments;
}

/** Reads the command line. Throws INVALID_ARGUMENT for a command or option that does not exist, or an option without its value. */
export function readArguments(line: readonly string[], commands: Commands): CommandLine {
  const { tokens } = parseArgs({ args: [...line], options: typesOf(commands), strict: false, tokens: true, allowPositionals: true });
  const said = tokens.flatMap((token) => (token.kind === "positional" ? [token.value] : []));
  const asksHelp = said[0] === "help";
  const [command, ...words] = asksHelp ? said.slice(1) : said;
  if (command !== undefined) checkCommand(command, commands);
  const own = new Map(optionsOf(command, commands));
  const options = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    checkOption(token, own.get(token.name), command, [...own.keys()]);
    options.set(token.name, [...(options.get(token.name) ?? []), token.value ?? ""]);
  }
  return { command, help: asksHelp || options.has("help"), args: new Arguments(words, options) };
}

/** Refuses what is no command. */
function checkCommand(name: string, commands: Commands): void {
  if (Object.hasOwn(commands, name)) return;
  const meant = nearest(name, [...Object.keys(commands), "help"]);
  const hint = meant === undefined ? `expected one of ${Object.keys(commands).join(", ")}` : `did you mean ${meant}?`;
  throw new KvasirError("INVALID_ARGUMENT", `there is no command ${name}; ${hint}`);
}

/** How all options of all commands are parsed: those of a name are alike in whether they have a value. */
function typesOf(commands: Commands): Record<string, { type: "string" | "boolean"; short?: string }> {
  const all = Object.keys(commands).flatMap((command) => optionsOf(command, commands));
  return Object.fromEntries(
    all.map(([name, { value, short }]) => [name, { type: value === undefined ? "boolean" : "string", ...(short && { short }) }]),
  );
}

function optionsOf(command: string | undefined, commands: Commands): [name: string, option: Option][] {
  const groups = command === undefined ? [] : commands[command]!.groups;
  return [...groups, GENERAL].flatMap(({ options }) => Object.entries(options));
}

interface GivenOption {
  name: string;
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}

function checkOption(given: GivenOption, option: Option | undefined, command: string | undefined, own: readonly string[]): void {
  const { name, rawName, value, inlineValue } = given;
  const refuse = (message: string): KvasirError => new KvasirError("INVALID_ARGUMENT", message);
  if (option === undefined) {
    const meant = nearest(name, own);
    const hint =
      meant === undefined ? `kvasir help${command === undefined ? "" : ` ${command}`} lists what it has` : `did you mean --${meant}?`;
    throw refuse(`${command ?? "kvasir"} has no ${rawName}; ${hint}`);
  }
  if (option.value === undefined && value !== undefined) throw refuse(`${rawName} is ${value}; expected no value`);
  // What looks like the next option is no value, unless an equals sign says so. A negative number is one.
  if (option.value !== undefined && (value === undefined || (!inlineValue && value.startsWith("--"))))
    throw refuse(`${rawName} has no value; expected ${rawName} ${option.value}`);
}
