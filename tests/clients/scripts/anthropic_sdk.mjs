// Anthropic's own SDK for TypeScript: every call of Message Batches, and the calls beside them.

import Anthropic from "@anthropic-ai/sdk";
import { all, misfits, refusal, until } from "./types.mjs";

const MODEL = "claude-haiku-4-5";
const REFUSED = "Refuse this, please.";
const HANGING = "Hang on this, please.";
const client = new Anthropic({ maxRetries: 0 });
const batches = client.messages.batches;

const asked = (text, model = MODEL) => ({ model, max_tokens: 64, messages: [{ role: "user", content: text }] });
const request = (custom_id, text) => ({ custom_id, params: asked(text) });
const ended = (id) =>
  until(async () => {
    const batch = await batches.retrieve(id);
    return batch.processing_status === "ended" && batch;
  });
const results = async (id) => all(await batches.results(id));

const made = await batches.create({ requests: [request("a", "One?"), request("b", REFUSED), request("c", "Three?")] });
const whole = await ended(made.id);

const hanging = await batches.create({ requests: [request("x", "Quick?"), request("y", HANGING)] });
await until(async () => (await batches.retrieve(hanging.id)).request_counts.succeeded);
const while_running = await results(hanging.id);
const cancelling = await batches.cancel(hanging.id);
const cancelled = await ended(hanging.id);

const numbered = [];
for (const number of [0, 1, 2, 3, 4]) {
  numbered.push((await batches.create({ requests: [request("a", `Page ${number}?`)] })).id);
}
const ids = async (pages) => (await all(pages)).map((batch) => batch.id);
const pages = {
  made: numbered,
  onwards: await ids(batches.list({ limit: 2 })),
  backwards: await ids(batches.list({ limit: 2, before_id: numbered[0] })),
};
const deleted = await batches.delete(made.id);

const message = await client.messages.create(asked("Why is the sky blue?"));
let streamed = "";
const stream = client.messages.stream(asked("Why is the sky blue?"));
stream.on("text", (text) => (streamed += text));
const final = await stream.finalMessage();
const counted = await client.messages.countTokens({ model: MODEL, messages: asked("One?").messages });
const models = (await client.models.list({ limit: 5 })).data.map((model) => model.id);

const nobody = new Anthropic({ apiKey: "pk_unknown", maxRetries: 0 });
const reader = new Anthropic({ apiKey: process.env.READER, maxRetries: 0 });
const away = new Anthropic({ baseURL: "http://127.0.0.1:9", maxRetries: 0 });
const calls = {
  400: () => batches.create({ requests: [request("not a name", "x")] }),
  401: () => nobody.messages.batches.list(),
  403: () => reader.messages.batches.create({ requests: [request("a", "x")] }),
  404: () => batches.retrieve("msgbatch_unknown"),
  timeout: () => client.messages.create(asked(HANGING), { timeout: 500 }),
  "nobody there": () => away.messages.batches.list(),
};
for (const status of [409, 413, 422, 500]) {
  calls[status] = () => client.messages.create(asked(`Answer with ${status}`));
}
const refusals = {};
for (const [name, call] of Object.entries(calls)) refusals[name] = await refusal(call);

const count = async () => (await all(batches.list({ limit: 100 }))).length;
const before = await count();
const lossy = new Anthropic({ baseURL: process.env.LOSSY }); // with the retries that it has by itself
await lossy.messages.batches.create({ requests: [request("a", "Lost?")] });
const by_the_lost_one = (await count()) - before;
await lossy.messages.batches.create({ requests: [request("a", "Lost?")] });
const by_both = (await count()) - before;

console.log(
  JSON.stringify({
    made,
    ended: whole,
    cancelled: { while_running, answer: cancelling, ended: cancelled, results: await results(hanging.id) },
    pages,
    deleted,
    message,
    streamed,
    final,
    counted,
    models,
    refusals,
    lost: { by_the_lost_one, by_both },
    misfits: misfits('import type Anthropic from "@anthropic-ai/sdk";', {
      "Anthropic.Messages.MessageBatch": [made, whole, cancelling, cancelled],
      "Anthropic.Messages.DeletedMessageBatch": [deleted],
      // The provider's own words are passed on, and that of the tests says more than Anthropic's.
      "Anthropic.MessageTokensCount": [{ input_tokens: counted.input_tokens }],
      "Anthropic.ModelInfo": (await client.models.list({ limit: 2 })).data,
    }),
  }),
);
