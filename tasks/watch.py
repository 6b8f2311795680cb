"""Looks once a second at the jobs that go on, to know where their time goes."""

from functools import partial

from app.core.pipeline import leases
from app.core.reading import job_json
from app.core.timeline import watch
from models.session import in_transaction, reading

_after = 0  # of more jobs than a look takes, those above this number are next; one ticker a process


def look() -> None:
    """Look at the next jobs, and write what has changed since the last look."""
    global _after  # noqa: PLW0603
    with reading() as session:
        crew = leases.crew(session)
        jobs = watch.live(session, _after, crew.silent)
    _after = jobs[-1].id if len(jobs) == watch.AT_ONCE else 0
    words = {job_id: limited.word for job_id, limited in job_json.limits_of(jobs).items()}
    if looks := watch.to_write(jobs, words, has_workers=bool(crew.all)):
        in_transaction(partial(watch.write, looks=looks))
