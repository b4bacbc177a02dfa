/**
 * Byte-level BPE writes each byte as a printable character (GPT-2's table): those of Latin-1 that are printable stand for themselves,
 * the others for U+0100 and up, in order.
 */
const BYTE_OF: ReadonlyMap<string, number> = byteTable();

/** The byte that each UTF-16 unit stands for; -1: none. */
const BYTE_OF_UNIT: Int16Array = unitTable();

/** The bytes that a byte-level piece stands for. A piece with a character outside the table is taken as text, as Hugging Face's tokenizers does. */
export function byteLevelBytes(piece: string): Uint8Array {
  const bytes = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = BYTE_OF_UNIT[piece.charCodeAt(i)]!;
    if (byte < 0) return Buffer.from(piece);
    bytes[i] = byte;
  }
  return bytes;
}

/** [256] the character that stands for each byte. */
const UNIT_OF: Uint16Array = Uint16Array.from(
  [...BYTE_OF].sort(([, a], [, b]) => a - b),
  ([char]) => char.charCodeAt(0),
);

/** A text's bytes, each as its printable character. */
export function toByteLevel(text: string): string {
  const bytes = Buffer.from(text);
  // Most words are ASCII without spaces or controls, which stand for themselves.
  let same = bytes.length === text.length;
  const units = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    units[i] = UNIT_OF[bytes[i]!]!;
    same &&= units[i] === bytes[i];
  }
  return same ? text : Buffer.from(units.buffer).toString("utf16le");
}

/** The characters of all bytes that well-formed text has (C0, C1 and F5 to FF are none in UTF-8). */
export function byteLevelAlphabet(): string[] {
  return [...BYTE_OF].filter(([, byte]) => byte !== 0xc0 && byte !== 0xc1 && byte < 0xf5).map(([char]) => char);
}

function byteTable(): Map<string, number> {
  const table = new Map<string, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.set(String.fromCharCode(printable ? byte : next++), byte);
  }
  return table;
}

function unitTable(): Int16Array {
  const table = new Int16Array(2 ** 16).fill(-1);
  for (const [char, byte] of BYTE_OF) table[char.charCodeAt(0)] = byte;
  return table;
}

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte that a byte token such as `<0x0A>` stands for; `undefined` for other pieces. */
export function byteTokenValue(piece: string): number | undefined {
  const match = BYTE_TOKEN.exec(piece);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}

/** [256] ids of the byte tokens among some pieces; -1 for bytes that have none. */
export function byteTokenTable(pieces: Iterable<[text: string, id: number]>): Int32Array {
  const table = new Int32Array(256).fill(-1);
  for (const [text, id] of pieces) {
    const byte = byteTokenValue(text);
    if (byte !== undefined) table[byte] = id;
  }
  return table;
}

/** The byte tokens of a character's bytes; `undefined` if one has none. */
export function byteTokensOf(character: string, table: Int32Array): number[] | undefined {
  const tokens = Array.from(Buffer.from(character), (byte) => table[byte]!);
  return tokens.every((token) => token >= 0) ? tokens : undefined;
}
