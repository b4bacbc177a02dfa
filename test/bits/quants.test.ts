import { GGUF_TYPES } from "../support/reference.ts";
import { testFingerprints } from "./support/fingerprints.ts";

const TYPES = GGUF_TYPES.filter((type) => type !== "MXFP4"); // which llama.cpp writes of experts alone
testFingerprints(TYPES.map((type) => ({ path: `quants/${type}.gguf`, requests: 12 })));
