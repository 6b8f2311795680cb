"""The id of a job as batch APIs write it: `msgbatch_…`, `batch_…`. Each form names the job at every door."""

import re
import uuid

MESSAGE_BATCH, BATCH = "msgbatch", "batch"

_WRITTEN = re.compile(rf"(?:{MESSAGE_BATCH}|{BATCH})_([0-9a-f]{{32}})")


def write(prefix: str, uid: uuid.UUID) -> str:
    """The id of the job `uid`, with one of the prefixes above."""
    return f"{prefix}_{uid.hex}"


def read(text: str) -> uuid.UUID | None:
    """The job that `text` is an id of, in any form; None for what is no id."""
    written = _WRITTEN.fullmatch(text)
    try:
        return uuid.UUID(text if written is None else written[1])
    except ValueError:
        return None
