import { counted, show } from "../../errors.ts";
import { oneLine, showBytes, showCount, showCounted, showRows, visible } from "../format.ts";
import type { Inspection } from "./inspection.ts";
import type { TypeCount } from "./stored.ts";
import type { TokenizerFacts } from "./tokenizer.ts";

/** Lines of a chat template that are shown. */
const TEMPLATE_LINES = 4;

type Row = readonly [name: string, text: string];

/** An inspection for people. Files are not trusted: what they say controls no terminal, and makes no lines of its own. */
export function showInspection({ format, files, architecture, settings, types, tokenizer, templates, problems }: Inspection): string {
  const parameters = types.reduce((sum, type) => sum + type.parameters, 0);
  const rows: Row[] = [
    ...files.map(({ path, size }): Row => ["file", `${path}, ${showBytes(size)}, ${format}`]),
    ["runs", runsAs(architecture, problems)],
    ["parameters", showCount(parameters)],
    ["tokenizer", tokenizer === undefined ? "none" : showTokenizer(tokenizer)],
    ["ends", tokenizer?.ends.map(({ id, text }) => `${id} ${show(text)}`).join(", ") || "none"],
    ["templates", Object.keys(templates).join(", ") || "none"],
  ];
  const sections = [
    showRows(rows),
    section("settings", showRows(Object.entries(settings).map(([key, value]): Row => [key, show(value)]))),
    section("tensors by type", showTypes(types)),
    ...Object.entries(templates).map(([name, template]) => section(`template ${name}`, firstLines(template))),
    ...files.map(({ path, tensors }) => (tensors === undefined ? "" : section(`tensors of ${path}`, showRows(tensors.map(tensorRow))))),
    section("problems", problems.map(({ code, message }) => `${code} ${oneLine(message)}\n`).join("")),
  ];
  return sections.join("");
}

function runsAs(architecture: string | undefined, { length }: Inspection["problems"]): string {
  if (length > 0) return "no, see below";
  return architecture === undefined ? "no model: tensors alone" : `as ${architecture}`;
}

/** Lines under a title; nothing where there are none. */
function section(title: string, lines: string): string {
  return lines === "" ? "" : `\n${oneLine(title)}\n${lines.replaceAll(/^(?=.)/gm, "  ")}`;
}

function showTokenizer({ kind, preTokenizer, vocabSize, addsBos, bos }: TokenizerFacts): string {
  const words = preTokenizer === undefined ? "" : `, pre-tokenizer ${preTokenizer}`;
  const first = bos === undefined ? "no BOS" : `${addsBos ? "adds BOS" : "BOS, not added,"} ${bos.id} ${show(bos.text)}`;
  return `${kind}${words}, ${showCounted(vocabSize, "token")}, ${first}`;
}

function showTypes(types: readonly TypeCount[]): string {
  return showRows(
    types.map(
      ({ type, tensors, parameters, bytes }): Row => [
        type,
        `${counted(tensors, "tensor")}, ${showCounted(parameters, "parameter")}, ${showBytes(bytes)}`,
      ],
    ),
  );
}

function tensorRow({
  name,
  type,
  shape,
  offset,
  bytes,
}: {
  name: string;
  type: string;
  shape: number[];
  offset: number;
  bytes: number;
}): Row {
  return [name, `${type} [${shape.join(", ")}], ${counted(bytes, "byte")} at ${offset}`];
}

function firstLines(template: string): string {
  const lines = template.trimEnd().split("\n");
  const shown = lines.slice(0, TEMPLATE_LINES).map((line) => visible(line.length > 120 ? `${line.slice(0, 117)}...` : line));
  return [...shown, ...(lines.length > shown.length ? [`... ${counted(lines.length, "line")} in all`] : [])].join("\n").concat("\n");
}
