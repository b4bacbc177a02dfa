import type { Timings, Usage } from "../../api/completion.ts";
import type { GenerateParams } from "../../api/params.ts";
import type { Engine } from "../../engine.ts";
import { counted, type ErrorCode, KvasirError } from "../../errors.ts";
import { onAbort } from "../../run/abort.ts";
import type { Arguments } from "../arguments.ts";
import type { Command } from "../command.ts";
import { oneLine } from "../format.ts";
import type { Interrupts } from "../interrupts.ts";
import { nearest } from "../nearest.ts";
import { ENGINE_OPTIONS, generateParams, modelWord, SAMPLING_OPTIONS, SPECULATE_OPTIONS } from "../options.ts";
import { figures } from "../run.ts";
import { withEngine } from "../session.ts";
import { StatusLine } from "../status-line.ts";
import { Conversation } from "./conversation.ts";
import { MessageReader } from "./message-reader.ts";
import { Terminal } from "./terminal.ts";

const HELP = `/reset        forget what was said
/system TEXT  say TEXT before all that is said; without TEXT: nothing
/help         this list
/exit         end; so does Ctrl-D, and Ctrl-C twice
A line that ends with \\ goes on in the next; """ begins and ends a message of several lines. Ctrl-C stops an answer.
`;

/** `kvasir chat [MODEL]`: a conversation in the model's chat template. */
export const CHAT: Command = {
  usage: "chat [MODEL]",
  summary: "talk with a model, line by line",
  details: `While it runs:\n${HELP.replaceAll(/^(?=.)/gm, "  ")}From a pipe each message is a line; stdout has the answers alone, with --json an object for each, { error } where there is none.
Then Ctrl-C ends all, and the exit code is 1 if a message had no answer.
`,
  groups: [
    {
      title: "conversation",
      options: {
        system: { value: "TEXT", help: "stands before all that is said" },
        stats: { help: "after each answer its figures, on stderr" },
      },
    },
    ENGINE_OPTIONS,
    SAMPLING_OPTIONS,
    SPECULATE_OPTIONS,
  ],
  downloads: true,
  run: chat,
};

async function chat(args: Arguments, interrupts: Interrupts): Promise<void> {
  const model = args.words.length === 0 && !args.has("model") ? "tales" : modelWord(args, "chat");
  const params = generateParams(args);
  const body = async ({ engine }: { engine: Engine }): Promise<void> => {
    await checkTemplate(engine, model);
    await new Dialogue(engine, params, args, interrupts).run(model);
  };
  await withEngine(args, interrupts.signal, body, {}, model);
}

async function checkTemplate(engine: Engine, model: string): Promise<void> {
  try {
    await engine.renderChat({ messages: [{ role: "user", content: "Hello" }] });
  } catch (error) {
    if (!(error instanceof KvasirError) || !["NO_CHAT_TEMPLATE", "NO_TOKENIZER"].includes(error.code)) throw error;
    throw new KvasirError(error.code, `${model} has no chat template to talk in; kvasir run -m ${model} PROMPT continues a text`, {
      cause: error,
    });
  }
}

/** Before a message that is typed. */
const PROMPT = "> ";

/** Reads messages and writes answers until there are no more. */
class Dialogue {
  readonly #engine: Engine;
  readonly #params: GenerateParams;
  readonly #json: boolean;
  readonly #stats: boolean;
  readonly #conversation: Conversation;
  readonly #reader: MessageReader = new MessageReader();
  readonly #interrupts: Interrupts;
  readonly #terminal: Terminal;
  /** Codes of the messages that had no answer. */
  readonly #failures: ErrorCode[] = [];
  #messages = 0;
  /** Of the answer that is being written. */
  #answering: AbortController | undefined;
  /** Ctrl-C was the last that was typed at the prompt. */
  #interrupted = false;
  #ended = false;

  constructor(engine: Engine, params: GenerateParams, args: Arguments, interrupts: Interrupts) {
    this.#engine = engine;
    this.#params = params;
    this.#json = args.has("json");
    this.#stats = args.has("stats");
    this.#conversation = new Conversation(args.text("system"));
    this.#interrupts = interrupts;
    this.#terminal = new Terminal(() => this.#interrupt());
  }

  async run(model: string): Promise<void> {
    if (!this.#terminal.isInteractive) return this.#runPipe();
    process.stdout.write(
      `${model}, ${counted(this.#engine.stats().maxContext, "token")} of context. /help lists what there is beside talking.\n`,
    );
    const giveBack = this.#interrupts.takeOver(() => this.#interrupt());
    try {
      await this.#talk();
    } finally {
      giveBack();
    }
  }

  /** Nobody looks: Ctrl-C ends all, and a message without an answer is a failure of the command. */
  async #runPipe(): Promise<void> {
    const { signal } = this.#interrupts;
    onAbort(signal, () => this.#end());
    await this.#talk();
    signal.throwIfAborted();
    const [code] = this.#failures;
    if (code !== undefined)
      throw new KvasirError(
        code,
        `${this.#failures.length} of ${counted(this.#messages, "message")} ${this.#failures.length === 1 ? "has" : "have"} no answer`,
      );
  }

  async #talk(): Promise<void> {
    try {
      while (!this.#ended) {
        const line = await this.#terminal.next(this.#reader.isOpen ? "... " : PROMPT);
        this.#interrupted = false;
        const typed = line === undefined ? this.#reader.end() : this.#reader.push(line);
        if (line === undefined) this.#ended = true;
        if (typed === undefined || typed.text.trim() === "") continue;
        if (typed.isCommand) this.#act(typed.text);
        else await this.#terminal.aside(() => this.#answer(typed.text));
      }
    } finally {
      this.#terminal.close();
    }
  }

  /** Ends an answer, and takes no more lines. */
  #end(): void {
    this.#ended = true;
    this.#answering?.abort();
    this.#terminal.close();
  }

  /** Ctrl-C stops an answer; at the prompt it forgets what was typed, and the second one in a row ends. */
  #interrupt(): void {
    if (this.#answering !== undefined) this.#answering.abort();
    else if (this.#interrupted) this.#end();
    else {
      this.#interrupted = true;
      this.#reader.clear();
      this.#terminal.startOver("Ctrl-C again, or Ctrl-D, ends", PROMPT);
    }
  }

  #act(line: string): void {
    const [, name = "", text = ""] = /^\/(\S*)\s*(.*)$/s.exec(line) ?? [];
    const actions: Record<string, () => void> = {
      reset: () => {
        this.#conversation.reset();
        say("what was said is forgotten\n");
      },
      system: () => {
        this.#conversation.system = text === "" ? undefined : text;
        say(text === "" ? "nothing is said before\n" : "from now on that is said before\n");
      },
      help: () => say(HELP),
      exit: () => {
        this.#ended = true;
      },
    };
    if (Object.hasOwn(actions, name)) actions[name]!();
    else refuseCommand(name, Object.keys(actions));
  }

  async #answer(text: string): Promise<void> {
    const answering = new AbortController();
    const { signal } = answering;
    this.#answering = answering;
    this.#messages += 1;
    const status = new StatusLine();
    status.show("reading");
    let answer = "";
    try {
      const prompt = { messages: this.#conversation.with(text) };
      for await (const { text: piece, finishReason, usage, timings } of this.#engine.stream(prompt, { ...this.#params, signal })) {
        status.clear();
        answer += piece;
        if (!this.#json) process.stdout.write(piece);
        if (finishReason !== undefined) this.#finish(answer, finishReason, usage, timings);
      }
    } catch (error) {
      status.clear();
      if (!this.#json && answer !== "") process.stdout.write("\n");
      if (!signal.aborted) this.#complain(error);
    } finally {
      this.#answering = undefined;
    }
    // What was stopped was read all the same.
    if (answer !== "") this.#conversation.add(text, answer);
  }

  #finish(text: string, finishReason: string, usage: Usage, timings: Timings): void {
    process.stdout.write(this.#json ? `${JSON.stringify({ text, finishReason, usage, timings })}\n` : "\n");
    if (this.#stats) say(`${figures(usage, timings)}\n`);
    const { maxContext } = this.#engine.stats();
    if (usage.totalTokens >= maxContext) say(`the context of ${counted(maxContext, "token")} is full: /reset begins anew\n`);
  }

  /** A message that can't be answered ends nothing: it is forgotten, the conversation goes on. */
  #complain(error: unknown): void {
    if (!(error instanceof KvasirError) || error.code === "CLOSED" || error.code === "INTERNAL") throw error;
    const { code, message } = error;
    this.#failures.push(code);
    if (this.#json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`);
    say(`${code} ${oneLine(message)}${code === "PROMPT_TOO_LONG" ? "; /reset begins anew" : ""}\n`);
  }
}

function refuseCommand(name: string, names: readonly string[]): void {
  const meant = nearest(name, names);
  say(`there is no /${name}; ${meant === undefined ? '/help lists what there is, """ begins a message' : `did you mean /${meant}?`}\n`);
}

/** What is no answer goes to stderr. */
function say(text: string): void {
  process.stderr.write(text);
}
