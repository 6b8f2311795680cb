"""Rows through a language model by a Penstock: `Penstock(url, key).run(rows, prompt=…)`."""

from penstock_client.aio import AsyncPenstock, AsyncRun
from penstock_client.errors import (
    BadInput,
    Busy,
    Conflict,
    JobStopped,
    NotAllowed,
    NotFound,
    PenstockError,
    Refused,
    Unreachable,
)
from penstock_client.objects import Answer, AnswerError, Counts, Dollars, Job, Quote, Seconds, Usage
from penstock_client.sync import Penstock, Run

__all__ = [
    "Answer",
    "AnswerError",
    "AsyncPenstock",
    "AsyncRun",
    "BadInput",
    "Busy",
    "Conflict",
    "Counts",
    "Dollars",
    "Job",
    "JobStopped",
    "NotAllowed",
    "NotFound",
    "Penstock",
    "PenstockError",
    "Quote",
    "Refused",
    "Run",
    "Seconds",
    "Unreachable",
    "Usage",
]
