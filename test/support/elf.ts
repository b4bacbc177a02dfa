/** What a shared library of 64-bit little-endian ELF asks of the libraries that it is loaded beside. */
export interface ElfNeeds {
  /** Names of the libraries (DT_NEEDED). */
  libraries: string[];
  symbols: NeededSymbol[];
}

/** A symbol that another library has to have. */
export interface NeededSymbol {
  name: string;
  /** `GLIBC_2.14`; `undefined`: any. */
  version: string | undefined;
  /** It may be missing. */
  weak: boolean;
}

interface Section {
  type: number;
  offset: number;
  size: number;
  /** Index of the section with its strings. */
  link: number;
}

const DYNAMIC = 6;
const DYNAMIC_SYMBOLS = 11;
const VERSION_NEEDS = 0x6ffffffe;
const VERSION_OF_SYMBOLS = 0x6fffffff;

/** Reads the dynamic section, the dynamic symbols and their versions. */
export function readElf(file: Buffer): ElfNeeds {
  if (file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) throw new Error("no 64-bit little-endian ELF");
  const sections = readSections(file);
  const section = (type: number): Section => sections.find((each) => each.type === type)!;
  const string = (owner: Section, offset: number): string => textAt(file, sections[owner.link]!.offset + offset);

  const dynamic = section(DYNAMIC);
  const libraries = range(dynamic.size / 16)
    .map((i) => dynamic.offset + 16 * i)
    .filter((at) => file.readBigUInt64LE(at) === 1n)
    .map((at) => string(dynamic, Number(file.readBigUInt64LE(at + 8))));

  const versions = versionNames(file, section(VERSION_NEEDS), string);
  const numbers = section(VERSION_OF_SYMBOLS);
  const table = section(DYNAMIC_SYMBOLS);
  const symbols = range(table.size / 24)
    .slice(1)
    .map((i) => ({ i, at: table.offset + 24 * i }))
    .filter(({ at }) => file.readUInt16LE(at + 6) === 0)
    .map(({ i, at }) => ({
      name: string(table, file.readUInt32LE(at)),
      version: versions.get(file.readUInt16LE(numbers.offset + 2 * i) & 0x7fff),
      weak: file[at + 4]! >> 4 === 2,
    }));
  return { libraries, symbols };
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
