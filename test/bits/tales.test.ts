import { testFingerprints } from "./support/fingerprints.ts";

testFingerprints([{ path: "models/tales", requests: 8 }]);
