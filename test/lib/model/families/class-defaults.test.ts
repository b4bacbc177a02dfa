import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Config } from "../../../../lib/model/config.ts";
import type { Blueprint } from "../../../../lib/model/families/family.ts";
import { ARCHITECTURES, familyOfModelType } from "../../../../lib/model/families/index.ts";

// What `CONFIG_MAPPING[model_type]().to_dict()` of transformers 5.17 says, without what concerns training, tokens and printing.
const defaults: Record<string, object> = JSON.parse(readFileSync(new URL("class-defaults.json", import.meta.url), "utf8"));

test("transformers' class defaults are there for every architecture", () => {
  expect(Object.keys(defaults).sort()).toEqual([...ARCHITECTURES].sort());
});

test.each(ARCHITECTURES)("%s: a config.json of nothing but its name is the class's default", (name) => {
  expect(blueprintOf({ model_type: name })).toEqual(blueprintOf(defaults[name]!));
});

function blueprintOf(json: object): Blueprint {
  const config = Config.of("config.json: ", json as Record<string, unknown>);
  return familyOfModelType("config.json", config.string("model_type")).fromHuggingFace({ config, whole: config, hasTensor: () => false });
}
