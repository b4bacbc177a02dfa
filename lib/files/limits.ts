/** What is read of one kind of file. */
export interface FileLimit {
  bytes: number;
  /** Bytes that its JSON may take in memory, about: a text of brackets takes a hundred times its length. */
  memory: number;
}

/** By name; chosen, each some four times the largest published. */
const LIMITS: Readonly<Record<string, FileLimit>> = {
  // Lists of modules and labels: 300 KB.
  "config.json": { bytes: 1 << 21, memory: 1 << 26 },
  "generation_config.json": { bytes: 1 << 20, memory: 1 << 26 },
  // A template, and tens of thousands of added tokens: 8 MB.
  "tokenizer_config.json": { bytes: 1 << 25, memory: 1 << 27 },
  // 91,991 tensors: 9 MB.
  "model.safetensors.index.json": { bytes: 1 << 25, memory: 1 << 27 },
  // 262,144 tokens and 514,906 merges: 33 MB, and 140 MB in memory. A thread's heap has room for the tokenizer beside it.
  "tokenizer.json": { bytes: 1 << 26, memory: 1 << 29 },
};

/** Of all other JSON. */
const OTHER: FileLimit = { bytes: 1 << 22, memory: 1 << 26 };

/** The limit of a file by its name. */
export function limitOf(name: string): FileLimit {
  return Object.hasOwn(LIMITS, name) ? LIMITS[name]! : OTHER;
}

/** Of the header of a safetensors file. Chosen: that of 91,991 tensors in one file takes 11 MB; the format's own limit is 100 MB. */
export const SAFETENSORS_HEADER: FileLimit = { bytes: 1 << 25, memory: 1 << 27 };

/** Most bytes of JSON that are parsed on the event loop. Chosen: brackets alone, the slowest text, take 25 ms. */
export const PARSED_AT_ONCE: number = 1 << 16;

/** Longest chat template, in bytes. Chosen: the longest published has 17 KB. */
export const MAX_TEMPLATE: number = 1 << 18;
