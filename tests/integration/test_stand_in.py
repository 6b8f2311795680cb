"""Without beat one of the workers ticks and sweeps; here who, decided by the row."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import update

from app.core.pipeline.sweeping import sweep_owner
from app.doctor import database
from models import Sweep
from models.base import now
from models.session import in_transaction, reading


def test_of_all_workers_one_stands_in_once_nobody_has_swept_for_half_a_minute(environment):
    # Given beat swept just now
    in_transaction(sweep_owner.by_beat)
    assert standing() == []

    # When it has not for half a minute
    swept(seconds_ago=31)

    # Then one of eight workers that look at the same moment stands in, and goes on to
    (chosen,) = standing()
    assert standing() == [chosen]
    with reading() as session:
        assert sweep_owner.stand_in(session) == chosen
        (finding,) = [found for found in database.look() if found.subject == "beat"]
        assert f"{chosen} has taken over" in finding.text


def test_of_two_beats_one_is_listened_to(environment):
    # Given two beats that ask every five seconds, one of them two seconds after the other
    swept(seconds_ago=5)

    # Then the first one has its sweep each time, and the second one never
    for _ in range(2):
        assert in_transaction(sweep_owner.by_beat)
        swept(seconds_ago=2)
        assert not in_transaction(sweep_owner.by_beat)
        swept(seconds_ago=5)


def test_a_worker_that_stood_in_and_died_is_followed_by_another(environment):
    swept(seconds_ago=31)
    assert in_transaction(partial(sweep_owner.stands_in, worker="dead"))

    swept(seconds_ago=31)
    (chosen,) = standing()
    assert chosen != "dead"

    # And should it live after all, there are not two
    assert not in_transaction(partial(sweep_owner.stands_in, worker="dead"))


def test_a_beat_that_is_back_ends_it(environment):
    swept(seconds_ago=31)
    assert in_transaction(partial(sweep_owner.stands_in, worker="one"))

    in_transaction(sweep_owner.by_beat)

    assert not in_transaction(partial(sweep_owner.stands_in, worker="one"))
    with reading() as session:
        assert sweep_owner.stand_in(session) is None


def standing():
    """Who stands in, of eight workers that ask at once."""
    workers = [f"worker{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda worker: in_transaction(partial(sweep_owner.stands_in, worker=worker)), workers)
        )
    return [worker for worker, stands in zip(workers, told, strict=True) if stands]


def swept(seconds_ago):
    in_transaction(lambda session: session.execute(update(Sweep).values(swept_at=now(-seconds_ago))) and None)
