/** What a shared library of 64-bit little-endian ELF asks of the libraries that it is loaded beside, and what it shows to them. */
export interface ElfLibrary {
  /** Names of the libraries that it needs (DT_NEEDED). */
  libraries: string[];
  symbols: NeededSymbol[];
  /** Names of the symbols that others may use or replace. */
  exports: string[];
  /** Symbols are looked up when it is loaded, not when they are first used (DF_BIND_NOW). */
  bindsNow: boolean;
  /** Where they were found can't be changed afterwards (PT_GNU_RELRO). */
  isReadOnly: boolean;
}

/** A symbol that another library has to have. */
export interface NeededSymbol {
  name: string;
  /** `GLIBC_2.14`; `undefined`: any. */
  version: string | undefined;
  /** It may be missing. */
  weak: boolean;
}

/** By which Node finds an addon: all that it has to show. */
export const NODE_ENTRIES: readonly string[] = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

interface Section {
  type: number;
  offset: number;
  size: number;
  /** Index of the section with its strings. */
  link: number;
}

/** Tags of the dynamic section, a flag of one, and a type of program headers. */
const NEEDED = 1n;
const FLAGS = 30n;
const BIND_NOW = 8;
const RELRO = 0x6474e552;
/** Types of sections. */
const DYNAMIC = 6;
const DYNAMIC_SYMBOLS = 11;
const VERSION_NEEDS = 0x6ffffffe;
const VERSION_OF_SYMBOLS = 0x6fffffff;

/** Reads the dynamic section, the dynamic symbols and their versions. */
export function readElf(file: Buffer): ElfLibrary {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) throw new Error("no 64-bit little-endian ELF");
  const sections = readSections(file);
  const section = (type: number): Section => sections.find((each) => each.type === type)!;
  const string = (owner: Section, offset: number): string => textAt(file, sections[owner.link]!.offset + offset);

  const dynamic = section(DYNAMIC);
  const valuesOf = (tag: bigint): number[] =>
    range(dynamic.size / 16)
      .map((i) => dynamic.offset + 16 * i)
      .filter((at) => file.readBigUInt64LE(at) === tag)
      .map((at) => Number(file.readBigUInt64LE(at + 8)));
  const libraries = valuesOf(NEEDED).map((at) => string(dynamic, at));

  const versions = versionNames(file, section(VERSION_NEEDS), string);
  const numbers = section(VERSION_OF_SYMBOLS);
  const table = section(DYNAMIC_SYMBOLS);
  const entries = range(table.size / 24)
    .slice(1)
    .map((i) => ({ i, at: table.offset + 24 * i }));
  const isNeeded = ({ at }: { at: number }): boolean => file.readUInt16LE(at + 6) === 0;
  const symbols = entries.filter(isNeeded).map(({ i, at }) => ({
    name: string(table, file.readUInt32LE(at)),
    version: versions.get(file.readUInt16LE(numbers.offset + 2 * i) & 0x7fff),
    weak: file[at + 4]! >> 4 === 2,
  }));
  const exports = entries.filter((entry) => !isNeeded(entry)).map(({ at }) => string(table, file.readUInt32LE(at)));
  return { libraries, symbols, exports, bindsNow: valuesOf(FLAGS).some((flags) => (flags & BIND_NOW) !== 0), isReadOnly: hasRelro(file) };
}

/** Whether a program header is PT_GNU_RELRO. */
function hasRelro(file: Buffer): boolean {
  const first = Number(file.readBigUInt64LE(0x20));
  const bytes = file.readUInt16LE(0x36);
  return range(file.readUInt16LE(0x38)).some((i) => file.readUInt32LE(first + bytes * i) === RELRO);
}

function readSections(file: Buffer): Section[] {
  const first = Number(file.readBigUInt64LE(0x28));
  const bytes = file.readUInt16LE(0x3a);
  return range(file.readUInt16LE(0x3c)).map((i) => {
    const at = first + bytes * i;
    return {
      type: file.readUInt32LE(at + 4),
      offset: Number(file.readBigUInt64LE(at + 0x18)),
      size: Number(file.readBigUInt64LE(at + 0x20)),
      link: file.readUInt32LE(at + 0x28),
    };
  });
}

/** Names of versions by the number that symbols refer to: for each library a list of them, chained by offsets. */
function versionNames(file: Buffer, needs: Section, string: (owner: Section, offset: number) => string): Map<number, string> {
  const names = new Map<number, string>();
  let library = needs.offset;
  for (;;) {
    let version = library + file.readUInt32LE(library + 8);
    for (let left = file.readUInt16LE(library + 2); left > 0; left--) {
      names.set(file.readUInt16LE(version + 6), string(needs, file.readUInt32LE(version + 8)));
      version += file.readUInt32LE(version + 12);
    }
    const next = file.readUInt32LE(library + 12);
    if (next === 0) return names;
    library += next;
  }
}

function textAt(file: Buffer, start: number): string {
  return file.toString("latin1", start, file.indexOf(0, start));
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
