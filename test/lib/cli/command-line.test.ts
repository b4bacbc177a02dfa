import { describe, expect, it } from "vitest";
import { readArguments } from "../../../lib/cli/command-line.ts";
import { COMMANDS } from "../../../lib/cli/commands.ts";
import { commandHelp, generalHelp } from "../../../lib/cli/help.ts";
import { nearest } from "../../../lib/cli/nearest.ts";
import { engineOptions, generateParams } from "../../../lib/cli/options.ts";

const read = (line: string) => readArguments(line.split(" "), COMMANDS);

describe("arguments", () => {
  it("become options and parameters", () => {
    const line = "run a b -m m.gguf --kv-type f32 --threads 2 --max-context 99 --top-k 4 --seed 18446744073709551615 --ignore-eos";
    const { command, args } = read(line);
    expect([command, args.words, args.text("model")]).toEqual(["run", ["a", "b"], "m.gguf"]);
    expect(engineOptions(args)).toEqual({ kvType: "f32", threads: 2, maxContext: 99 });
    expect(generateParams(args)).toEqual({ topK: 4, seed: 2n ** 64n - 1n, ignoreEos: true });
  });

  it("say who guesses", () => {
    expect(engineOptions(read("run a --draft small --lookup").args)).toEqual({ speculate: { draft: "small", lookup: true } });
    expect(engineOptions(read("bench --draft small").args)).toEqual({ speculate: { draft: "small" } });
    expect(engineOptions(read("bench --lookup").args)).toEqual({ speculate: { lookup: true } });
  });

  it("hold lists", () => {
    const { args } = readArguments(["bench", "--batch", "1,8, 16", "--prompt", "1,,2", "--context", "0", "--context", "32"], COMMANDS);
    expect(args.integers("batch", [])).toEqual([1, 8, 16]);
    expect(args.integers("tokens", [64])).toEqual([64]);
    expect(args.integers("context", [], 0)).toEqual([0, 32]);
    expect(() => args.integers("prompt", [])).toThrow('--prompt is "1,,2"');
    expect(generateParams(read("run a --stop b --stop=--c").args)).toEqual({ stop: ["b", "--c"] });
  });

  it("name the command that help is asked of", () => {
    const asked = (line: string) => {
      const { command, help } = read(line);
      return [command, help];
    };
    expect([asked("help"), asked("help run"), asked("run -h"), asked("run a")]).toEqual([
      [undefined, true],
      ["run", true],
      ["run", true],
      ["run", false],
    ]);
  });

  it("take a number below 0, a word that begins with a dash after --, and the last of several values", () => {
    expect(generateParams(read("run a --presence-penalty -1 --seed 1 --seed 2").args)).toEqual({ presencePenalty: -1, seed: 2n });
    expect(read("run -- --json").args.words).toEqual(["--json"]);
  });

  it.each([
    [["run", "--tokens", "3"], "run has no --tokens; did you mean --max-tokens?"],
    [["eval", "--seed", "3"], "eval has no --seed; kvasir help eval lists what it has"],
    [["eval", "--lookup"], "eval has no --lookup"],
    [["run", "--colour", "red"], "run has no --colour; kvasir help run lists what it has"],
    [["run", "--max-token", "3"], "run has no --max-token; did you mean --max-tokens?"],
    [["run", "-x"], "run has no -x"],
    [["run", "--seed"], "--seed has no value; expected --seed N"],
    [["run", "--seed", "--json"], "--seed has no value; expected --seed N"],
    [["run", "--json=1"], "--json is 1; expected no value"],
    [["run", "--threads", "two", "a"], '--threads is "two"; expected a number'],
    [["--colour"], "kvasir has no --colour; kvasir help lists what it has"],
    [["hlep"], "there is no command hlep; did you mean help?"],
  ])("%j are refused", (line, message) => {
    expect(() => engineOptions(readArguments(line, COMMANDS).args)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });
});

describe("help", () => {
  it("lists all commands, and the options of each", () => {
    for (const { usage } of Object.values(COMMANDS)) expect(generalHelp(COMMANDS)).toContain(`\n  kvasir ${usage} `);
    for (const [name, { groups }] of Object.entries(COMMANDS)) {
      const help = commandHelp(name, COMMANDS);
      for (const option of [...groups.flatMap(({ options }) => Object.keys(options)), "json", "help"])
        expect(help).toContain(`--${option}`);
      for (const line of [...help.split("\n"), ...generalHelp(COMMANDS).split("\n")]) expect(line.length, line).toBeLessThanOrEqual(132);
    }
  });
});

describe("nearest", () => {
  it.each([
    ["rnu", "run"],
    ["evla", "eval"],
    ["be", "bench"],
    ["pulll", "pull"],
    ["walk", undefined],
    ["", undefined],
  ])("to %j is %j", (given, name) => expect(nearest(given, ["run", "pull", "bench", "eval"])).toBe(name));
});
