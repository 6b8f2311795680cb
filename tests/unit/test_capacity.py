"""How tenants share places."""

from app.server import bounds
from app.web import capacity
from app.web.capacity import Places


def taken(places: Places, tenant: int) -> int:
    """How many more places a tenant gets."""
    count = 0
    while places.take(tenant):
        count += 1
    return count


def test_a_tenant_alone_gets_nearly_all_and_the_next_ones_find_some():
    places = Places(224)
    assert taken(places, 1) == 200
    assert taken(places, 2) == 22
    assert [places.take(tenant) for tenant in (3, 4, 5)] == [True, True, False]


def test_the_last_place_is_for_a_tenant_that_holds_none():
    places = Places(4)
    assert taken(places, 1) == 3
    assert places.take(2)
    assert not places.take(3)


def test_a_place_that_is_given_back_is_taken_again():
    places = Places(4)
    assert taken(places, 1) == 3
    places.give_back(1)
    assert taken(places, 1) == 1
    for _ in range(3):
        places.give_back(1)
    assert places.free == 4


def test_threads_are_for_seats_or_for_short_requests():
    assert bounds.REQUESTS == capacity.KEPT_FREE
