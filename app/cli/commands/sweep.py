"""`penstock sweep`: what beat does every few seconds, by hand and in words."""

from contextlib import suppress

import click

from app.cli.database import check_revision, use_embedded_broker


@click.command(short_help="Repair what a crash left behind, and report it.")
@click.option("--handoff", metavar="JOB", help="Only hand off the documents of this job again.")
def sweep(handoff: str | None) -> None:
    """Find and repair once what a crash left behind, and report what it was and how that is known.

    The control worker does so every few seconds. It takes three seconds where worker processes have leases,
    and twelve where one of them is dead, because each is checked several times. At the end it lists the stuck
    jobs.

    If the documents' list in Redis was lost, --handoff fills it again, job by job.
    """
    use_embedded_broker()
    check_revision()
    from redis import RedisError

    from app.core.measures import sharing
    from app.core.pipeline.sweeping import stalled
    from config import logs
    from models.session import reading
    from tasks import sweep as sweeping

    logs.configure("ERROR", "text")  # what the log would say is reported below
    if handoff is not None:
        _hand_over_again(handoff)
        return
    reported = set()
    for found in sweeping.sweep_by_hand():
        if found not in reported:
            reported.add(found)
            click.echo(f"{_job(found.job_id)}{found.why}")
    with suppress(RedisError):  # the metrics do without, then
        sharing.hand_over()
    with reading() as session:
        stuck_jobs = stalled.find(session)
    for job in stuck_jobs:
        click.secho(f"job {job.uid} is stuck: {job.why}", fg="red")
    if not reported and not stuck_jobs:
        click.echo("nothing was left behind")


def _hand_over_again(name: str) -> None:
    import uuid

    from app.core.documents import handoff
    from app.errors import BadInput, NotFound
    from config import settings
    from models.session import reading

    if not settings.current().parse_handoff:
        raise BadInput("PARSE_HANDOFF is false: documents are not handed off")
    try:
        with reading() as session:
            job = handoff.find_job(session, uuid.UUID(name))
    except ValueError:
        raise NotFound(f"there is no job {name!r}: give its id") from None
    offered = handoff.again(job)
    pushed = handoff.push()
    click.echo(f"{offered:,} documents of job {name} are handed off again; {pushed:,} are on their list")


def _job(job_id: int | None) -> str:
    """The job's name for people, and its status."""
    if job_id is None:
        return ""
    from models.job import Job
    from models.session import reading

    with reading() as session:
        job = session.get(Job, job_id)
    if job is None:
        return "a submission: "
    return f"job {job.uid}{f' {job.name!r}' if job.name else ''} ({job.status}): "
