import type { GgufInput, MetadataValue, TensorInput } from "./files.ts";

/** Files that are deep, wide, or say the same over and over: what they cost should be bounded by what may be in them, not by their bytes. */

/** JSON text with one value that is deep, wide or repeated: beside the others, in the place of one, or as one that stands many times. */
export function growJson(text: string, random: (bound: number) => number): string {
  const members = [...text.matchAll(/"([^"\\]+)":("[^"\\]*"|-?[0-9.]+|true|false|null)/g)];
  const member = members[random(members.length)]!;
  const [whole, key, value] = member;
  const size = 2 ** random(17);
  const replaced = (by: string): string => text.slice(0, member.index) + by + text.slice(member.index + whole.length);
  const kinds = [
    () => text.replace("{", `{"grown":${grownValue(size, random)},`),
    () => replaced(`"${key}":${grownValue(size, random)}`),
    () => replaced(`"grown":${grownValue(size, random)},${whole}`),
    () => replaced(`${whole},`.repeat(Math.ceil(size / 8)) + whole),
    () => replaced(Array.from({ length: Math.ceil(size / 8) }, (_, i) => `"${key}${i || ""}":${value}`).join()),
  ];
  return kinds[random(kinds.length)]!();
}

/** One value of about so many parts. */
function grownValue(size: number, random: (bound: number) => number): string {
  const kinds = [
    () => "[".repeat(size) + "]".repeat(size),
    () => `${'{"a":'.repeat(size)}0${"}".repeat(size)}`,
    () => `[${"{},".repeat(size)}{}]`,
    () => `[${"[0],".repeat(size)}[]]`,
    () => `[${"0,".repeat(size)}0]`,
    () => `{${Array.from({ length: size }, (_, i) => `"k${i}":0`).join()}}`,
    () => `{${'"k":{},'.repeat(size)}"k":0}`,
    () => `[${'"",'.repeat(size)}"é"]`,
    () => JSON.stringify("{{ x }}".repeat(size)),
    () => "9".repeat(size),
    () => `[${"NaN,".repeat(size)}1e999]`,
    () => `${" ".repeat(size * 4)}0`,
  ];
  return kinds[random(kinds.length)]!();
}

/** A GGUF with more entries, longer arrays and texts, or more tensors. */
export function growInput({ metadata, tensors = [] }: GgufInput, random: (bound: number) => number): GgufInput {
  const size = 2 ** random(17);
  const keys = Object.keys(metadata);
  const key = random(2) === 0 ? keys[random(keys.length)]! : "a.grown";
  const tensor = tensors[random(tensors.length)]!;
  const many = (named: (index: number) => TensorInput): GgufInput => ({
    metadata,
    tensors: [...tensors, ...Array.from({ length: size / 4 }, (_, index) => named(index))],
  });
  const entries = (named: (index: number) => string, value: MetadataValue): Record<string, MetadataValue> =>
    Object.fromEntries(Array.from({ length: size / 8 }, (_, index) => [named(index), value]));
  const kinds: (() => GgufInput)[] = [
    () => ({ metadata: { ...metadata, [key]: grownArray(size, random) }, tensors }),
    () => ({ metadata: { ...metadata, [key]: "é{{ x }}".repeat(size) }, tensors }),
    () => ({ metadata: { ...metadata, [`${key}${"k".repeat(size)}`]: 1 }, tensors }),
    () => ({ metadata: { ...metadata, ...entries((index) => `${key}.${index}`, 1) }, tensors }),
    () => ({ metadata: { ...metadata, ...entries((index) => `tokenizer.chat_template.${index}`, "{{ x }}") }, tensors }),
    () => ({ metadata: { ...metadata, [key]: { type: "array", elements: "array", value: [] } }, tensors }),
    () => many((index) => ({ name: `t${index}`, type: "F32", shape: [1] })),
    () => many(() => tensor),
  ];
  return kinds[random(kinds.length)]!();
}

function grownArray(length: number, random: (bound: number) => number): MetadataValue {
  const kinds: (() => MetadataValue)[] = [
    () => ({ type: "array", elements: "u8", value: Array(length).fill(1) }),
    () => ({ type: "array", elements: "f64", value: Array(length).fill(0.5) }),
    () => ({ type: "array", elements: "bool", value: Array(length).fill(true) }),
    () => Array<string>(length).fill(""),
    () => Array.from({ length }, (_, index) => `é${index}`),
  ];
  return kinds[random(kinds.length)]!();
}
