"""Webhooks: whether they are sent, where they no longer are, and whether they can be signed."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from app.core.webhooks import standing
from app.doctor.finding import Finding, ok, warning, wrong

SUBJECT = "webhooks"
LATE = 60.0  # seconds: what a killed process was sending is due again after as many
NAMED = 5  # endpoints


def look(session: Session) -> Iterator[Finding]:
    found = [*_late(session), *_switched_off(session), *_unsigned(session)]
    if found:
        yield from found
        return
    counts = standing.counts(session)
    yield ok(SUBJECT, f"none is late; {counts['failing']:,} have failed and are sent again")


def _late(session: Session) -> Iterator[Finding]:
    seconds = standing.oldest_due(session)
    if seconds <= LATE:
        return
    text = f"one has been due for {seconds:,.0f} s"
    if standing.sent_within(session, LATE):
        remedy = "a receiver that does not answer holds up its own: see `last_error` of its deliveries"
        yield warning(SUBJECT, f"{text}; others are sent", remedy)
    else:
        yield wrong(SUBJECT, f"{text}, and none is sent", "run a control worker, and read its log")


def _switched_off(session: Session) -> Iterator[Finding]:
    for tenant, name, reason in standing.latest_switched_off(session, NAMED):
        yield warning(
            SUBJECT,
            f"the endpoint {name!r} of {tenant!r} was switched off: {reason}",
            "tell its owner, who can switch it on again (PATCH /api/v1/webhooks/{id}) or delete it",
        )
    more = standing.switched_off(session) - NAMED
    if more > 0:
        yield warning(SUBJECT, f"{more:,} more endpoints were switched off", "see above")


def _unsigned(session: Session) -> Iterator[Finding]:
    why = standing.why_unsigned(session)
    if why is not None:
        yield wrong(SUBJECT, "they cannot be signed here", why)
