// OpenAI's own SDK for TypeScript: every call of Files and Batches, webhook endpoints, and the calls beside them.

import OpenAI, { toFile } from "openai";
import { all, misfits, refusal, until } from "./types.mjs";

const GPT = "gpt-5-mini";
const CLAUDE = "claude-haiku-4-5";
const CHAT = "/v1/chat/completions";
const REFUSED = "Refuse this, please.";
const HANGING = "Hang on this, please.";
const ENDED = ["completed", "failed", "expired", "cancelled"];
const client = new OpenAI({ maxRetries: 0 });

const asked = (text, model = GPT) => ({ model, messages: [{ role: "user", content: text }] });
const line = (custom_id, text, url = CHAT) => ({ custom_id, method: "POST", url, body: asked(text) });
const upload = async (...lines) => {
  const content = lines.map((one) => `${JSON.stringify(one)}\n`).join("");
  return client.files.create({ file: await toFile(Buffer.from(content), "asked.jsonl"), purpose: "batch" });
};
const create = async (sdk, file, more = {}) =>
  sdk.batches.create({ input_file_id: file.id, endpoint: CHAT, completion_window: "24h", ...more });
const ended = (id) =>
  until(async () => {
    const batch = await client.batches.retrieve(id);
    return ENDED.includes(batch.status) && batch;
  });
const read = async (id) => {
  if (!id) return null;
  const text = await (await client.files.content(id)).text();
  return text.split("\n").filter(Boolean).map((one) => JSON.parse(one));
};

const file = await upload(line("a", "One?"), line("b", REFUSED), line("c", "Three?"));
const made = await create(client, file, { metadata: { team: "x" } });
const whole = await ended(made.id);
const output_file = await client.files.retrieve(whole.output_file_id);

const hanging = await create(client, await upload(line("x", "Quick?"), line("y", HANGING)));
const running = await until(async () => {
  const batch = await client.batches.retrieve(hanging.id);
  return batch.output_file_id && batch;
});
const while_running = await read(running.output_file_id);
const cancelling = await client.batches.cancel(hanging.id);
const cancelled = await ended(hanging.id);

const invalid = await ended((await create(client, await upload(line("a", "x"), line("a", "x"), [1]))).id);

const one = await upload(line("a", "Page?"));
const numbered = [];
for (let number = 0; number < 5; number += 1) numbered.push((await create(client, one)).id);
const onwards = (await all(client.batches.list({ limit: 2 }))).map((batch) => batch.id);
const files = (await all(client.files.list({ limit: 2, order: "asc", purpose: "batch" }))).map((found) => found.id);
const deleted = await client.files.delete(one.id);

const chats = {};
for (const model of [GPT, CLAUDE]) {
  const chat = await client.chat.completions.create(asked("Why is the sky blue?", model));
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked("Why?", model), stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  chats[model] = { told: chat.choices[0].message.content, streamed };
}
const response = await client.responses.create({ model: GPT, input: "Why is the sky blue?" });
const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["One?", "Two?"] });
const models = (await all(client.models.list())).map((model) => model.id);

const hook = await client.webhooks.create({
  name: "mine",
  url: "https://example.com/hook",
  event_types: ["batch.completed"],
});
const hooks = {
  made: hook,
  rotated: await client.webhooks.rotateSecret(hook.id),
  listed: (await all(client.webhooks.list())).map((found) => found.id),
  deleted: await client.webhooks.delete(hook.id),
};

const nobody = new OpenAI({ apiKey: "pk_unknown", maxRetries: 0 });
const reader = new OpenAI({ apiKey: process.env.READER, maxRetries: 0 });
const away = new OpenAI({ baseURL: "http://127.0.0.1:9", maxRetries: 0 });
const calls = {
  400: () => create(client, file, { endpoint: "/v1/nowhere" }),
  401: () => nobody.batches.list(),
  403: () => create(reader, file),
  404: () => client.batches.retrieve("batch_unknown"),
  timeout: () => client.chat.completions.create(asked(HANGING), { timeout: 500 }),
  "nobody there": () => away.batches.list(),
};
for (const status of [409, 413, 422, 500]) {
  calls[status] = () => client.chat.completions.create(asked(`Answer with ${status}`));
}
const refusals = {};
for (const [name, call] of Object.entries(calls)) refusals[name] = await refusal(call);

const count = async () => (await all(client.batches.list({ limit: 100 }))).length;
const before = await count();
const lossy = new OpenAI({ baseURL: `${process.env.LOSSY}/v1` }); // with the retries that it has by itself
await create(lossy, file);
const by_the_lost_one = (await count()) - before;
await create(lossy, file);
const by_both = (await count()) - before;

console.log(
  JSON.stringify({
    file,
    made,
    ended: whole,
    output: await read(whole.output_file_id),
    errors: await read(whole.error_file_id),
    cancelled: {
      while_running,
      answer: cancelling,
      ended: cancelled,
      output: await read(cancelled.output_file_id),
      errors: await read(cancelled.error_file_id),
    },
    invalid,
    pages: { made: numbered, onwards, files },
    deleted,
    chats,
    response: response.output_text,
    vectors: vectors.data.length,
    models,
    hooks,
    refusals,
    lost: { by_the_lost_one, by_both },
    misfits: misfits(
      'import type OpenAI from "openai";',
      {
        "OpenAI.Batches.Batch": [made, whole, running, cancelling, cancelled, invalid],
        "OpenAI.Files.FileObject": [file, output_file],
        "OpenAI.Files.FileDeleted": [deleted],
      },
      { nullIsAbsent: true },
    ),
  }),
);
