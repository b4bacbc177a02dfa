import { testFingerprints } from "./support/fingerprints.ts";

testFingerprints([{ path: "models/tales/tales-q4_k_m.gguf", requests: 8 }]);
