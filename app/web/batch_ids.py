"""The id of a job as batch APIs write it: `msgbatch_…`, `batch_…`. Each form names the job at every door."""

import uuid

from app.core.pipeline import lookup

MESSAGE_BATCH, BATCH = "msgbatch", "batch"


def write(prefix: str, uid: uuid.UUID) -> str:
    """The id of the job `uid`, with one of the prefixes above."""
    return f"{prefix}_{uid.hex}"


def read(text: str) -> uuid.UUID | None:
    """The job that `text` is an id of, in any form; None for what is no id."""
    return lookup.uid_of(text)
