"""Whose work a message carries, as its task's lines name it."""

import json

import pytest
import redis
import structlog
from celery.signals import task_postrun, task_prerun

from config import settings
from tasks.advance import advance
from tasks.log.context import HEADER

WHOSE = {"request_id": "r-1", "tenant": "acme", "user": "ada", "job": "01a2"}


@pytest.fixture
def task():
    yield advance
    structlog.contextvars.clear_contextvars()


def sent_headers():
    with redis.Redis.from_url(settings.current().broker_url) as client:
        return json.loads(client.rpop("control"))["headers"]


def bound_in(task, headers):
    """What is bound while the task runs, and after it."""
    task.push_request(**headers)
    try:
        task_prerun.send(sender=task, task=task)
        meanwhile = structlog.contextvars.get_contextvars()
        task_postrun.send(sender=task, task=task)
    finally:
        task.pop_request()
    return meanwhile, structlog.contextvars.get_contextvars()


@pytest.mark.one_database
def test_a_message_carries_whose_work_it_is_and_nothing_else_that_is_bound(environment, task):
    with structlog.contextvars.bound_contextvars(**WHOSE, secret="no"):
        task.apply_async((1,))
    assert bound_in(task, sent_headers()) == ({"task": "penstock.advance", **WHOSE}, {})

    # And where nothing is bound, as in a tick, there is no header
    task.apply_async((1,))
    assert HEADER not in sent_headers()


@pytest.mark.parametrize("strange", ["text", {"job": {"a": 1}, "level": "critical"}, None, 7])
def test_what_somebody_else_put_there_is_bound_to_nothing(task, strange):
    assert bound_in(task, {HEADER: strange})[0] == {"task": "penstock.advance"}
