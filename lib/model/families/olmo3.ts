import { field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { describeOlmo, OLMO_FIELDS } from "./olmo2.ts";

/** OLMo 3: OLMo 2 with windows in three of four layers. Its GGUF files say olmo2. */
export const olmo3: Family = denseFamily({
  name: "olmo3",
  modelTypes: ["olmo3"],
  fields: { ...OLMO_FIELDS, rope_theta: field(500000), sliding_window: field(4096), layer_types: field() },
  ropePerLayerType: true,
  describe: describeOlmo,
});
