"""The headers of a delivery, by the specification Standard Webhooks."""

import datetime as dt
from collections.abc import Mapping, Sequence

USER_AGENT = "Penstock-Webhooks"


def headers(event_id: str, body: bytes, secrets: Sequence[str], at: dt.datetime) -> Mapping[str, str]:
    """Signed with each secret, the newest first; `at` is the time of the attempt, with a zone."""
    from standardwebhooks import Webhook  # not needed at startup

    moment = at.astimezone(dt.UTC)  # the package takes the digits of any other zone for UTC's
    signatures = [Webhook(secret).sign(event_id, moment, body.decode()) for secret in secrets]
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
