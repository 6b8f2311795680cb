"""A chord's callback."""

from functools import partial
from typing import Any

from app.core.pipeline import windows
from app.core.tracing import traces
from models.session import in_transaction
from tasks import line
from tasks.advance import offer
from tasks.celery import app
from tasks.flower.words import Told
from tasks.handoff import hand_over


@app.task(name="penstock.close_window", bind=True)
def close_window(task: Any, window_id: int, epoch: int) -> Told:
    """Close the window if its records have ended, and advance its job, which finalises it after the last one.

    Documents that were stored in it are handed over at once, and jobs that wait may have its threads.
    """
    with traces.close_window(task.request.headers, (window_id, epoch)):
        job_id = in_transaction(partial(windows.close, window_id=window_id, epoch=epoch))
    if job_id is None:
        return Told("its window was offered anew")
    offered = offer(job_id)
    hand_over()
    line.serve_if_wanted()
    return Told(offered)
