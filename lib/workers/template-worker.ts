import { runInNewContext } from "node:vm";
import type { ChatInput, RenderedChat } from "../text/chat/messages.ts";
import { TemplateRenderer, type TemplateSource } from "../text/chat/renderer.ts";
import { serve } from "./worker-server.ts";

/** Ends rendering where the caller, who would end this process at its deadline, is gone. Chosen: far above that deadline. */
const ORPHAN_MS = 60_000;

serve((source: TemplateSource) => {
  const renderer = new TemplateRenderer(source);
  return (input: ChatInput) => {
    const render = (): RenderedChat => renderer.render(input);
    return { result: runInNewContext("render()", { render }, { timeout: ORPHAN_MS }), transfer: [] };
  };
});
