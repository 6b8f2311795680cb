"""A run's job on its way to the stack: what it would cost, and the submission."""

import uuid
from http import HTTPStatus

from rich.console import Console

from app.cli import faults
from app.cli.client import Job, Quote, Rest
from app.cli.order import Order
from app.cli.waiting import say
from app.errors import StackRefused, StackUnreachable

NO_QUOTES = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)  # of a stack older than quotes


def estimate(rest: Rest, console: Console, order: Order) -> Quote | None:
    """The quote; None when there is none, which does not stop the run. Bad input is raised."""
    if order.documents is not None:
        say(console, order.documents.told)
        return None
    try:
        return rest.estimate(order.file, order.fields())
    except StackRefused as refusal:
        if refusal.status in faults.REFUSES_INPUT:
            raise
        if refusal.status not in NO_QUOTES:
            say(console, f"no quote: {refusal}")
    except StackUnreachable as error:
        say(console, f"no quote: {error}")
    return None


def send(rest: Rest, order: Order, earlier: str | None) -> Job:
    """The new job; `earlier` is one with an equal fingerprint that is not resumed."""
    fields = order.fields()
    documents = None if order.documents is None else order.documents.files
    try:
        return rest.submit(order.file, fields, order.key(earlier), documents)
    except StackRefused as refusal:
        if refusal.status != HTTPStatus.CONFLICT or refusal.retry_after is not None:
            raise
    # The job with the first key was deleted.
    return rest.submit(order.file, fields, uuid.uuid4().hex, documents)
