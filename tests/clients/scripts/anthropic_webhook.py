"""Anthropic's own SDK verifies the webhook DELIVERY, and one whose body was changed on its way."""

import json
import os
from typing import Any

from anthropic import Anthropic


def main() -> None:
    sent = json.loads(os.environ["DELIVERY"])
    hooks = Anthropic().beta.webhooks
    event: Any = hooks.unwrap(sent["body"], headers=sent["headers"], key=sent["secret"])
    try:
        hooks.unwrap(sent["body"].replace("batch_", "other_"), headers=sent["headers"], key=sent["secret"])
    except Exception as error:
        refused = [kind.__name__ for kind in type(error).__mro__]
        print(json.dumps({"type": event.type, "id": event.data.id, "refused": refused}))


if __name__ == "__main__":
    main()
