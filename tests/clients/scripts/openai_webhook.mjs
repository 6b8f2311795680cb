// OpenAI's own SDK for TypeScript reads the webhook DELIVERY, and one whose body was changed on its way.

import OpenAI from "openai";
import { refusal } from "./types.mjs";

const { body, headers, secret } = JSON.parse(process.env.DELIVERY);
const hooks = new OpenAI().webhooks;
const event = await hooks.unwrap(body, headers, secret);
const refused = await refusal(() => hooks.unwrap(body.replace("batch_", "other_"), headers, secret));
console.log(JSON.stringify({ type: event.type, id: event.data.id, refused: refused.class }));
