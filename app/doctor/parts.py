"""Every part, in the order of the report."""

from functools import partial

from app.doctor import database, environment, provider, redis, storage, workers
from app.doctor.examination import Section


def parts(*, call: bool) -> list[Section]:
    """`call`: try the provider's key."""
    return [
        Section(environment.SUBJECTS, environment.look, environment.REMEDY),
        Section(storage.SUBJECTS, storage.look, storage.REMEDY),
        Section(database.SUBJECTS, database.look, database.REMEDY),
        Section(redis.BROKER, redis.look_at_broker, redis.BROKER_REMEDY),
        Section(redis.LIMITER, redis.look_at_limiter, redis.LIMITER_REMEDY),
        Section(workers.SUBJECTS, workers.look, workers.REMEDY),
        Section(provider.SUBJECTS, partial(provider.look, call), provider.REMEDY, patience=20.0),
    ]
