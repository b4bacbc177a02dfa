import type { Arguments } from "./arguments.ts";
import type { Interrupts } from "./interrupts.ts";

/** An option of the command line, as it is read and as help describes it. */
export interface Option {
  /** What help calls its value; a flag has none. */
  value?: string;
  /** A letter that does as well: `-m`. */
  short?: string;
  help: string;
}

/** Options that belong together, by name, under a title. */
export interface OptionGroup {
  title: string;
  options: Readonly<Record<string, Option>>;
}

/** A command. */
export interface Command {
  /** What follows `kvasir`, without options. */
  usage: string;
  /** What it does, for the list of commands. */
  summary: string;
  /** What else there is to know, in whole lines. */
  details?: string;
  groups: readonly OptionGroup[];
  /** It takes names on the hub, and downloads what is missing. */
  downloads?: boolean;
  run(args: Arguments, interrupts: Interrupts): Promise<void>;
}

/** Commands by name. */
export type Commands = Readonly<Record<string, Command>>;

/** Options of every command. */
export const GENERAL: OptionGroup = {
  title: "all commands",
  options: {
    json: { help: "one JSON value on stdout" },
    help: { short: "h", help: "describe the command" },
    version: { help: "kvasir's version" },
  },
};
