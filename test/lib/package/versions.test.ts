import { expect, it } from "vitest";
import { OLDEST_NODE } from "../../../lib/package/node-version.ts";
import { isOlder } from "../../../lib/package/versions.ts";
import { read } from "../../support/sources.ts";

it.each([
  ["18.20.4", "20.19", true],
  ["20.18.9", "20.19", true],
  ["20.19.0", "20.19", false],
  ["20.19", "20.19.0", false],
  ["20.19", "20.19.1", true],
  ["24.0.0-nightly20250101", "20.19", false],
  ["2.4", "2.31", true],
])("%s comes before %s: %s", (version, floor, expected) => expect(isOlder(version, floor)).toBe(expected));

it("the oldest Node is that of package.json", () => expect(JSON.parse(read("package.json")).engines.node).toBe(`>=${OLDEST_NODE}`));
