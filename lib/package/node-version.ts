/** Imported before all else: an older Node would fail somewhere, at what it lacks. */
const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
if (major < 20 || (major === 20 && minor < 19)) throw new Error(`kvasir: Node.js is ${process.versions.node}; expected 20.19 or later`);
