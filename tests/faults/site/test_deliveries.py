"""The broker delivers a task twice, a callback late, twice or never: rows decide, messages only hurry."""

import uuid

import pytest
from redis import Redis
from sqlalchemy import select

from app.core.pipeline.windows import Publication
from config import settings
from models import Window
from models.session import reading
from tasks.advance import publish
from tasks.celery import app
from tests.faults.support.breakable_stack import SliceWorker, pass_by, process, stopped
from tests.support.stack import Running

pytestmark = pytest.mark.timeout(3600)


def test_what_is_delivered_twice_at_the_same_time_is_asked_once(fresh, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))

    # When every task of its windows is in the queue three times over, their callbacks with them
    for _ in range(3):
        for window in windows(job):
            publish(
                Publication(
                    window.id,
                    window.epoch,
                    24,
                    None,
                    uuid.uuid4(),
                    "again",
                    "all",
                    attended=False,
                    traceparent=None,
                )
            )

    # Then
    books = fresh.finish(job)
    figures.note("every task delivered four times at once", books)
    assert (books.asked_twice, books.unconfirmed, fresh.arrived()) == (0, 0, records)


def test_a_job_ends_though_its_callback_is_lost(fresh, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))

    # When the chords' counters are gone, so that nobody will ever call back
    with Redis.from_url(settings.current().results_url) as results:
        for key in results.scan_iter("*taskset-meta*"):
            results.delete(key)

    # Then
    books = fresh.finish(job)
    figures.note("a chord's callback lost", books)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_a_job_ends_once_though_its_callback_comes_late_and_twice(fresh, records, moments, figures):
    # Given a control worker that stands still while the last records end
    job = fresh.begin(records, next(moments))
    (control,) = (process(node) for node in fresh.nodes if runs(node) and not is_slices(node))
    with stopped(control.pid):
        job.wait_until_ended(records, seconds=120)
        pass_by(3)

    # When its callbacks come then, and once more after the end
    job.wait_for("completed", seconds=60)
    ended = job.row().ended_at
    for window in windows(job):
        app.signature("penstock.close_window", (window.id, window.epoch)).apply_async()

    # Then
    books = fresh.finish(job)
    figures.note("a chord's callback late, and twice", books)
    assert job.row().ended_at == ended


def windows(job: Running) -> list[Window]:
    with reading() as session:
        return list(session.scalars(select(Window).where(Window.job_id == job.id)))


def runs(node) -> bool:
    return process(node).poll() is None


def is_slices(node) -> bool:
    return isinstance(node.container, SliceWorker)
