// Vercel's AI SDK over both of its providers: text, streams, objects, tools, embeddings, and an error.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embed, embedMany, generateText, streamText } from "ai";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const anthropic = createAnthropic({ baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` });
const prompt = "Why is the sky blue?";
const models = {
  responses: openai("gpt-5-mini"),
  chat: openai.chat("gpt-5-mini"),
  "claude by chat": openai.chat("claude-haiku-4-5"),
  messages: anthropic("claude-haiku-4-5"),
};

const seen = {};
for (const [name, model] of Object.entries(models)) {
  const whole = await generateText({ model, prompt, maxOutputTokens: 64 });
  const stream = streamText({ model, prompt, maxOutputTokens: 64 });
  let streamed = "";
  for await (const piece of stream.textStream) streamed += piece;
  seen[name] = {
    text: whole.text,
    streamed,
    finish: [whole.finishReason, await stream.finishReason],
    usage: [whole.usage, await stream.usage],
  };
}

const embedding = openai.embedding("text-embedding-3-small");
const one = await embed({ model: embedding, value: prompt });
const many = await embedMany({ model: embedding, values: ["One?", "Two?"] });

async function refusal(model) {
  try {
    await generateText({ model, prompt: "Refuse this, please.", maxRetries: 0 });
  } catch (error) {
    return { isCall: APICallError.isInstance(error), status: error.statusCode, message: error.message };
  }
  return {};
}

console.log(
  JSON.stringify({
    models: seen,
    vectors: [one.embedding.length, ...many.embeddings.map((vector) => vector.length)],
    refusals: { chat: await refusal(models.chat), messages: await refusal(models.messages) },
  }),
);
