"""Stores a submission as the web does, in a process that tests kill.

`python -m tests.support.submit_process TENANT USER KEY RECORDS`

It says when it begins, and at the end which job stands for the submission and whether this one made it.
"""

import sys

from app.ingest.draft import Defaults, Draft
from app.ingest.spool import DraftSpool
from app.services import submission
from app.services.options import Options, Repeat
from app.services.submission import Submitted
from config import settings


def store(tenant_id: int, user_id: int, key: str, records: int) -> Submitted:
    with DraftSpool(settings.current().data) as spool:
        for number in range(records):
            spool.add(Draft(b'{"prompt":"Prompt %d"}' % number, 250))
        defaults = Defaults(model="simulated", max_tokens=100)
        options = Options(repeat=Repeat(key, b"f" * 32))
        return submission.submit(tenant_id, user_id, spool, defaults, options)


if __name__ == "__main__":
    print("begins", flush=True)
    stored = store(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    print(stored.uid, stored.created, flush=True)
