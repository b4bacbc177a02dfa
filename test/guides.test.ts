import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { filesBelow, ROOT, read } from "./support/sources.ts";

/** The guides' examples are programs: they compile as strictly as a user's, and run, but for those that want a download or a framework. */

interface Example {
  /** Where the program would stand: in the root, where the package finds itself by its name. */
  path: string;
  code: string;
  runs: boolean;
}

const EXAMPLES: Example[] = filesBelow("lib/guides", ".md").flatMap((guide) =>
  [...read(guide).matchAll(/^```ts( no-run)?\n(.*?)^```$/gms)].map(([, noRun, code], i) => ({
    path: join(ROOT, `${guide.replaceAll(/\W/g, "-")}-${i + 1}.mts`),
    code: code!,
    runs: noRun === undefined,
  })),
);

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
};

/** What the compiler says of them, as one program. */
function complaints(examples: readonly Example[]): string[] {
  const host = ts.createCompilerHost(OPTIONS);
  const codes = new Map(examples.map(({ path, code }) => [path, code]));
  const { readFile, fileExists } = host;
  host.readFile = (path) => codes.get(path) ?? readFile(path);
  host.fileExists = (path) => codes.has(path) || fileExists(path);
  const getSourceFile = host.getSourceFile;
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const code = codes.get(path);
    return code === undefined ? getSourceFile(path, languageVersion, ...rest) : ts.createSourceFile(path, code, languageVersion);
  };
  const program = ts.createProgram([...codes.keys()], OPTIONS, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`);
}

/** Runs one with Node, which has no `await using` before version 24; what it prints. */
async function run({ code }: Example): Promise<string> {
  const { outputText } = ts.transpileModule(code, { compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext } });
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", outputText], { cwd: ROOT });
  expect(stderr).toBe("");
  return stdout;
}

test("the guides have examples, most of which run", () => {
  expect(EXAMPLES.filter(({ runs }) => runs).length).toBeGreaterThan(EXAMPLES.length / 2);
  expect(EXAMPLES.length).toBeGreaterThan(12);
});

test("all compile", () => {
  expect(complaints(EXAMPLES)).toEqual([]);
});

describe.concurrent("they run", () => {
  test.each(EXAMPLES.filter(({ runs }) => runs))("$path", async (example) => {
    expect(await run(example)).not.toBe("");
  });
});
