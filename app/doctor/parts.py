"""Every part, in the order of the report."""

from collections.abc import Iterator
from functools import partial

from app.doctor import database, environment, hosted, provider, redis, storage, workers
from app.doctor.examination import Section
from app.doctor.finding import Finding, warning


def without_stack(*, call: bool) -> list[Section]:
    """The parts of a machine on which nothing runs, and nothing was set up: `penstock up` brings the rest."""
    return [
        Section(environment.SUBJECTS, environment.look, environment.REMEDY),
        Section(("stack",), _no_stack, ""),
        provider_part(call=call),
    ]


def _no_stack() -> Iterator[Finding]:
    yield warning(
        "stack", "no stack runs here", "`penstock up` starts one; `penstock run FILE` brings its own"
    )


def parts(*, call: bool) -> list[Section]:
    """`call`: try the provider's key."""
    return [
        Section(environment.SUBJECTS, environment.look, environment.REMEDY),
        Section(hosted.SUBJECTS, hosted.look, hosted.REMEDY),
        Section(storage.SUBJECTS, storage.look, storage.REMEDY),
        Section(database.SUBJECTS, database.look, database.REMEDY),
        Section(redis.BROKER, redis.look_at_broker, redis.BROKER_REMEDY),
        Section(redis.LIMITER, redis.look_at_limiter, redis.LIMITER_REMEDY),
        Section(workers.SUBJECTS, workers.look, workers.REMEDY),
        provider_part(call=call),
    ]


def provider_part(*, call: bool) -> Section:
    return Section(
        provider.SUBJECTS, partial(provider.look, call), provider.REMEDY.format("the address"), patience=25.0
    )
