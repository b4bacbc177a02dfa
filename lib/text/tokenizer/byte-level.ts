/**
 * Byte-level BPE writes each byte as a printable character (GPT-2's table): those of Latin-1 that are printable stand for themselves,
 * the others for U+0100 and up, in order.
 */
const BYTE_OF: ReadonlyMap<string, number> = byteTable();

/** The bytes that a byte-level piece stands for. A piece with a character outside the table is taken as text, as Hugging Face's tokenizers does. */
export function byteLevelBytes(piece: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of piece) {
    const byte = BYTE_OF.get(char);
    if (byte === undefined) return Buffer.from(piece);
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
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

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte that a byte token such as `<0x0A>` stands for; `undefined` for other pieces. */
export function byteTokenValue(piece: string): number | undefined {
  const match = BYTE_TOKEN.exec(piece);
  return match === null ? undefined : Number.parseInt(match[1]!, 16);
}
