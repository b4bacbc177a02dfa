// From the start of this process to a first token: node cold.mjs MODEL.gguf
// Prints one JSON line; the clock starts with the process. The library is imported late, as its cost belongs to the figure.
const [path] = process.argv.slice(2);
const { Engine } = await import("../../dist/index.js");
const engine = await Engine.open(path, { threads: 2, maxContext: 1024 });
const readyMs = performance.now();
await engine.generate("Once upon a time", { maxTokens: 1, temperature: 0 });
console.log(JSON.stringify([{ readyMs, firstTokenMs: performance.now() }]));
await engine.close();
