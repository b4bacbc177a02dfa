import { type Commands, GENERAL, type Option, type OptionGroup } from "./command.ts";

const HUB_NAMES = `a name on the hub: ORG/NAME, ORG/NAME@REVISION, ORG/NAME:QUANTIZATION; hf:ORG/NAME where there is such a path, too.
  What is missing is downloaded. HF_TOKEN for models that need one, HF_HOME or HF_HUB_CACHE for where they are kept,
  HF_ENDPOINT for another hub, HF_HUB_OFFLINE=1 to ask none
`;

/** What `kvasir help` says: all commands. */
export function generalHelp(commands: Commands): string {
  const rows = Object.values(commands).map(({ usage, summary }): Row => [`kvasir ${usage}`, summary]);
  return `kvasir: large language models inside Node.js

${columns([...rows, ["kvasir help COMMAND", "describe a command and its options"]])}
${groupHelp(GENERAL)}
${HUB_NAMES}
exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted
`;
}

/** What `kvasir help NAME` says: one command. */
export function commandHelp(name: string, commands: Commands): string {
  const { usage, summary, details, groups, downloads } = commands[name]!;
  const parts = [`kvasir ${usage} [options]: ${summary}\n`, details, ...[...groups, GENERAL].map(groupHelp)];
  return [...parts, downloads ? HUB_NAMES : undefined].filter((part) => part !== undefined).join("\n");
}

function groupHelp({ title, options }: OptionGroup): string {
  return `${title}\n${columns(Object.entries(options).map(([name, option]): Row => [optionForm(name, option), option.help]))}`;
}

function optionForm(name: string, { value, short }: Option): string {
  return `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
}

type Row = [left: string, right: string];

function columns(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}
