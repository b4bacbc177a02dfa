import type { FileBytes, GgufInput } from "./files.ts";

/**
 * Broken files by seed: three quarters have one to three of their numbers replaced by values at the edges of integer types, the others
 * flipped bytes or a cut. A seed names a mutant, so that none needs to be stored.
 */

/** Where integer arithmetic goes wrong. */
const EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  127n,
  255n,
  2n ** 15n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 31n + 1n,
  2n ** 32n - 1n,
  2n ** 32n + 1n,
  2n ** 53n - 1n,
  2n ** 53n + 1n,
  2n ** 62n,
  2n ** 63n - 64n,
  2n ** 63n - 1n,
  2n ** 64n - 32n,
  2n ** 64n - 4n,
  2n ** 64n - 1n,
];

/** Small, fast, seedable: xorshift32. Integers below `bound`. */
export function randomIntegers(seed: number): (bound: number) => number {
  // A multiplicative hash keeps streams of neighbouring seeds apart; 0 is xorshift's only bad state.
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

/** A mutant of a file whose numbers are known. */
export function mutate({ bytes, fields }: FileBytes, seed: number): Buffer {
  const random = randomIntegers(seed);
  const mutant = Buffer.from(bytes);
  const kind = random(20);
  if (kind < 15) {
    for (let i = random(3); i >= 0; i--) overwrite(mutant, fields[random(fields.length)]!, random);
    return mutant;
  }
  return kind < 18 ? flipBytes(mutant, random) : cut(mutant, fields, random);
}

/** A GGUF with a metadata entry or a tensor gone, renamed, of another type, or twice. */
export function mutateInput({ metadata, tensors = [] }: GgufInput, random: (bound: number) => number): GgufInput {
  const entries = Object.entries(metadata);
  const index = random(entries.length);
  const [key, value] = entries[index]!;
  const others = Object.fromEntries(entries.filter((_, i) => i !== index));
  const place = random(tensors.length);
  const tensor = tensors[place]!;
  const rest = tensors.filter((_, i) => i !== place);
  const changed: (() => GgufInput)[] = [
    () => ({ metadata: others, tensors }),
    () => ({ metadata: { ...others, [`${key}?`]: value }, tensors }),
    () => ({ metadata: { ...others, [key]: ["text", -1.5, true, [], [""], [1, 2, 3]][random(6)]! }, tensors }),
    () => ({ metadata, tensors: rest }),
    () => ({ metadata, tensors: [...rest, { ...tensor, name: `${tensor.name}?` }] }),
    () => ({ metadata, tensors: [...tensors, tensor] }),
    () => ({ metadata, tensors: [...rest, { ...tensor, shape: tensor.shape.toReversed() }] }),
  ];
  return changed[random(changed.length)]!();
}

/** A mutant of a safetensors file: numbers and strings of its header, its length, bytes anywhere, cuts. */
export function mutateSafetensors(bytes: Buffer, seed: number): Buffer {
  const random = randomIntegers(seed);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const kind = random(20);
  if (kind < 2) {
    const mutant = Buffer.from(bytes);
    overwrite(mutant, { offset: 0, size: 8 }, random);
    return mutant;
  }
  if (kind < 15) return withHeader(mutateJson(bytes.subarray(8, end).toString(), random), bytes.subarray(end));
  const fields = [
    { offset: 0, size: 8 },
    { offset: 8, size: end - 8 },
  ];
  return kind < 18 ? flipBytes(Buffer.from(bytes), random) : cut(bytes, fields, random);
}

/** JSON text with one to three of its values replaced: mostly those of keys, sometimes a key or a sign. */
export function mutateJson(text: string, random: (bound: number) => number): string {
  const replacements = [
    ...EDGES.map(String),
    "-1",
    "1.5",
    "1e3",
    "1e999",
    '"2"',
    "null",
    "[]",
    "{}",
    '""',
    '"F64"',
    '"I8"',
    '"Q4_K"',
    "true",
    "[[[[[",
    "[".repeat(20_000),
    `[${"0,".repeat(50_000)}0]`,
    '"\\u0000"',
  ];
  let mutant = text;
  for (let i = random(3); i >= 0; i--) {
    const anything = random(4) === 0;
    const values = [...mutant.matchAll(anything ? /"[^"]*"|-?[0-9.]+|[{}[\],:]/g : /(?<=:)("[^"]*"|-?[0-9.]+|true|false|null)/g)];
    const value = values[random(values.length)];
    if (value === undefined) break;
    const replacement = replacements[random(replacements.length)]!;
    mutant = mutant.slice(0, value.index) + replacement + mutant.slice(value.index + value[0].length);
  }
  return mutant;
}

function withHeader(text: string, data: Uint8Array): Buffer {
  const header = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

function overwrite(bytes: Buffer, { offset, size }: { offset: number; size: number }, random: (bound: number) => number): void {
  const word = Buffer.alloc(8);
  word.writeBigUInt64LE(EDGES[random(EDGES.length)]!);
  word.copy(bytes, offset, 0, size);
}

function flipBytes(bytes: Buffer, random: (bound: number) => number): Buffer {
  const within = random(2) === 0 ? Math.min(bytes.length, 1024) : bytes.length;
  for (let i = random(4); i >= 0; i--) {
    const at = random(within);
    bytes[at] = bytes[at]! ^ (1 + random(255));
  }
  return bytes;
}

/** Cut before, at or after the end of one of the numbers, or of all. */
function cut(bytes: Buffer, fields: FileBytes["fields"], random: (bound: number) => number): Buffer {
  const field = random(2) === 0 ? { offset: bytes.length, size: 0 } : fields[random(fields.length)]!;
  return bytes.subarray(0, Math.max(field.offset + field.size - 1 + random(3), 0));
}
