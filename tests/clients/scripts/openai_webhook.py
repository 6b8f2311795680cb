"""OpenAI's own SDK reads the webhook DELIVERY, and one whose body was changed on its way."""

import json
import os

from openai import InvalidWebhookSignatureError, OpenAI


def main() -> None:
    sent = json.loads(os.environ["DELIVERY"])
    hooks = OpenAI().webhooks
    event = hooks.unwrap(sent["body"], sent["headers"], secret=sent["secret"])
    try:
        hooks.unwrap(sent["body"].replace("batch_", "other_"), sent["headers"], secret=sent["secret"])
    except InvalidWebhookSignatureError:
        print(json.dumps({"event": type(event).__name__, "type": event.type, "id": event.data.id}))


if __name__ == "__main__":
    main()
