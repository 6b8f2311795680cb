"""What a client does, step by step: each flow yields the calls that it wants made and the seconds to wait."""

from __future__ import annotations

import uuid
from typing import Any

from penstock_client.errors import Conflict
from penstock_client.objects import FINAL, Job
from penstock_client.order import FINGERPRINT, Order
from penstock_client.wire import PREFIX, UPLOAD, Call, Contact, Flow, answered

JOBS = f"{PREFIX}/jobs"
LOOKED_AT = 10  # pages of the newest jobs
PAGE = 100

Raw = dict[str, Any]


def submitted(contact: Contact, order: Order, *, again: bool) -> Flow[Raw]:
    """The job of an order: the one that an equal call made before, or a new one."""
    earlier = yield from _earlier(contact, order)
    if earlier is not None and (found := (yield from _taken_up(contact, order, earlier, again=again))):
        return found
    return (yield from _sent(contact, order, None if earlier is None else earlier["id"]))


def _earlier(contact: Contact, order: Order) -> Flow[Raw | None]:
    """The newest job with the same fingerprint."""
    cursor: str | None = None
    for _ in range(LOOKED_AT):
        found = yield from page(contact, cursor)
        for job in found["data"]:
            if job["metadata"].get(FINGERPRINT) == order.fingerprint:
                return dict(job)
        cursor = found["next_cursor"]
        if cursor is None:
            break
    return None


def _taken_up(contact: Contact, order: Order, job: Raw, *, again: bool) -> Flow[Raw | None]:
    """The earlier job, which goes on if it can; None if a new one is wanted.

    One that was cancelled, failed or expired is done again, and one that was completed if that is asked for.
    """
    if job["status"] in FINAL:
        return None if again or job["status"] != "completed" else job
    if "max_cost" in order.asked:
        job = yield from changed(contact, job["id"], {"max_cost": str(order.asked["max_cost"])})
    if job["status"] == "paused" and not (order.tries and Job.of(job).is_tried):
        return (yield from acted(contact, job["id"], "resume"))
    return job


def _sent(contact: Contact, order: Order, earlier: str | None) -> Flow[Raw]:
    try:
        return (yield from answered(contact, _upload(order, JOBS, key=order.key(earlier))))
    except Conflict:  # the job with that key was deleted
        return (yield from answered(contact, _upload(order, JOBS, key=uuid.uuid4().hex)))


def estimated(contact: Contact, order: Order) -> Flow[Raw]:
    """The quote of an order."""
    return (yield from answered(contact, _upload(order, f"{JOBS}/estimate")))


def _upload(order: Order, path: str, key: str | None = None) -> Call:
    return Call(
        "POST",
        path,
        form=order.form(),
        parts=order.given.parts,
        headers={} if key is None else {"Idempotency-Key": key},
        timeout=UPLOAD,
    )


def page(contact: Contact, cursor: str | None) -> Flow[Raw]:
    """A page of jobs, newest first."""
    query = {"limit": PAGE} | ({} if cursor is None else {"cursor": cursor})
    return (yield from answered(contact, Call("GET", JOBS, query=query)))


def shown(contact: Contact, job: str) -> Flow[Raw]:
    return (yield from answered(contact, Call("GET", f"{JOBS}/{job}")))


def changed(contact: Contact, job: str, fields: Raw) -> Flow[Raw]:
    return (yield from answered(contact, Call("PATCH", f"{JOBS}/{job}", json=fields)))


def acted(contact: Contact, job: str, action: str) -> Flow[Raw]:
    """The job after `cancel`, `pause` or `resume`; as it is, if it has ended since it was read."""
    try:
        return (yield from answered(contact, Call("POST", f"{JOBS}/{job}/{action}")))
    except Conflict:
        found = yield from shown(contact, job)
        if found["status"] not in FINAL:
            raise
        return found


def retried(contact: Contact, job: str, choice: Raw) -> Flow[Raw]:
    """The job, whose failed and expired records are asked again, or those that `choice` names."""
    body = {name: value for name, value in choice.items() if value is not None} or None
    call = Call("POST", f"{JOBS}/{job}/retry", json=body, is_repeatable=False)
    return (yield from answered(contact, call))


def deleted(contact: Contact, job: str) -> Flow[Raw]:
    return (yield from answered(contact, Call("DELETE", f"{JOBS}/{job}", is_repeatable=False)))


def results(job: str, ending: str, **more: str) -> Call:
    """The call for the answers as a file."""
    query = {"format": "xlsx" if ending == "xlsm" else ending, **more}
    return Call("GET", f"{JOBS}/{job}/results", query=query, timeout=UPLOAD)
