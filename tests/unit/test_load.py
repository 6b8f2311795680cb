"""What a worker process may claim: a share for each tenant."""

from types import SimpleNamespace

from app.core.worker.load import FEW_UNSENT, MEMORY, Load


def job(number: int, tenant: int, size: int = 100, seats: int | None = None):
    return SimpleNamespace(job_id=number, lane=tenant, max_request_bytes=size, seats=seats)


def claims(of, count: int):
    return [SimpleNamespace(job_id=of.job_id, held_bytes=of.max_request_bytes) for _ in range(count)]


def take(load: Load, of, count: int) -> None:
    found = claims(of, count)
    load.add(of, found)
    for _ in found:
        load.mark_sent(of)


def test_large_requests_of_one_tenant_leave_room_for_anothers():
    # Given a tenant with as many requests of a megabyte as it may have
    load, large = Load(), job(1, tenant=1, size=1_000_000)
    while (room := load.room(large)) > 0:
        take(load, large, room)
    assert load.in_flight(1) == 51

    # Then another's record is claimed, and a large one, too
    assert load.room(job(2, tenant=2)) > 0
    assert load.room(job(3, tenant=2, size=12_000_000)) == 1
    assert load.room(job(4, tenant=2, size=MEMORY)) == 0

    # And when theirs are over, the first may go on
    load.remove(large, claims(large, 1)[0])
    assert load.room(large) == 1


def test_an_empty_process_has_room_for_a_record_of_any_size():
    assert Load().room(job(1, tenant=1, size=2 * MEMORY)) == 1


def test_records_that_wait_for_their_start_keep_no_other_tenant_from_claiming():
    # Given a tenant whose claimed records all wait for their start
    load, slow = Load(), job(1, tenant=1)
    while (room := load.room(slow)) > 0:
        load.add(slow, claims(slow, room))
    assert load.is_busy(1)
    assert load.in_flight(1) > FEW_UNSENT

    # Then another's are claimed
    assert not load.is_busy(2)
    assert load.room(job(2, tenant=2)) > 0
