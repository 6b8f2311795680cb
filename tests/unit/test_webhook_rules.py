"""Where webhooks may be sent, when they are sent again, and how they are signed."""

import asyncio
import datetime as dt
import hashlib
import socket
import threading
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from app.core.webhooks import lookup, networks, schedule, sealing, signing, urls
from app.core.webhooks.lookup import Resolver
from app.errors import BadInput, NameNotFound, Unavailable
from config import settings
from tests.support.servers import wait_until

HOUR = 3600


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path))
    settings.current.cache_clear()
    yield monkeypatch
    settings.current.cache_clear()


PRIVATE = (
    "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
    "168.63.129.16", "192.0.2.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "::1", "::",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::a83f:8110", "2002:a83f:8110::1", "::168.63.129.16", "::ffff:168.63.129.16", "4000::1",
    "8000::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2002:7f00:1::", "2001::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
)  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    why = networks.refusal(address, "https")

    assert why is not None
    assert "WEBHOOK_NETWORKS" in why


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_reached_by_https_alone(address: str) -> None:
    assert networks.refusal(address, "https") is None
    assert "https" in (networks.refusal(address, "http") or "")


def test_the_operator_may_allow_networks_by_either_scheme(environment) -> None:
    environment.setenv("WEBHOOK_NETWORKS", "10.1.0.0/16, fd00::/8")
    settings.current.cache_clear()

    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert networks.refusal(allowed, "http") is None
    for refused in ("10.2.0.1", "127.0.0.1", "169.254.169.254"):
        assert networks.refusal(refused, "https") is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "https://", "https:///x",
        "example.com",         "https://user:pass@example.com/", "https://exa mple.com/", "https://example.com\\@10.0.0.1/",
        "https://10.0.0.1/", "https://[::1]/", "https://[fe80::1%25eth0]/", "https://example.com:0/",
        "https://example.com:99999/", "https://[",
        "https://2130706433/", "https://0177.0.0.1/", "https://127.0.0.1./", "https://0/", "https://[::ffff:7f00:1]/",
        "https://127\u30020\u30020\u30021/", "https://%31%32%37.0.0.1/", "https://a/\r\nx: y",
        "https://10.0.0.1:443#@example.com/", "https://0x7f.1/", "https://127.0x1/", "https://a.07/",
        "https://ex\u00e4mple.com/", "https://a/" + "a" * 2048, "",
    ],
)  # fmt: skip
def test_a_url_that_can_never_be_sent_to_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadInput, match="url: "):
        urls.check(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/hooks?x=1", "https://8.8.8.8:8443/", "https://a.b-c.example."]
)
def test_other_urls_are_taken_and_judged_when_they_are_connected_to(url: str) -> None:
    assert urls.check(url) == url


@pytest.mark.parametrize("odd", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_what_an_odd_name_leads_to_is_refused(odd: str) -> None:
    found = {address[4][0] for address in socket.getaddrinfo(odd, 443, type=socket.SOCK_STREAM)}

    assert found
    assert all(networks.refusal(str(address), "https") for address in found)


def test_ten_attempts_are_spread_over_75_hours_and_35_minutes() -> None:
    assert len(schedule.DELAYS) == 10
    assert sum(schedule.DELAYS) == 75 * HOUR + 35 * 60 + 5
    for attempts, usual in enumerate(schedule.DELAYS[1:], 1):
        found = {schedule.delay(attempts) for _ in range(50)}
        assert all(usual * 0.9 <= (each or 0) <= usual * 1.1 for each in found)
        assert len(found) > 1  # not all at one moment
    assert schedule.delay(10) is None


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    now = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
    asked = {
        "120": 120, " 0 ": 0, "Fri, 27 Nov 2026 12:02:00 GMT": 120, "Fri, 27 Nov 2026 11:00:00 GMT": 0,
        "soon": None, "-5": None, None: None, "9" * 500: 9_999_999_999,
    }  # fmt: skip

    assert {text: schedule.retry_after(text, now) for text in asked} == asked
    assert schedule.delay(1, retry_after=120) == 120
    assert schedule.delay(1, retry_after=10**9) == 24 * HOUR
    assert (schedule.delay(9, retry_after=1) or 0) > 20 * HOUR  # no earlier than usual


def test_a_message_carries_a_signature_of_each_secret_and_whole_seconds() -> None:
    secrets = ["whsec_" + "QUJD" * 10 + "QUE=", "whsec_" + "REVG" * 10 + "REU="]
    somewhere = dt.datetime.now(dt.timezone(dt.timedelta(hours=9)))  # and not in UTC

    headers = signing.headers("evt_1", '{"a":"ä"}'.encode(), secrets, somewhere)

    assert headers["webhook-timestamp"].isdigit()
    signatures = headers["webhook-signature"].split(" ")
    assert [each.split(",")[0] for each in signatures] == ["v1", "v1"]
    for secret in secrets:
        Webhook(secret).verify('{"a":"ä"}', dict(headers))


def test_secrets_are_encrypted_with_a_key_of_the_folders_own(tmp_path) -> None:
    sealed = sealing.seal("whsec_x")

    assert b"whsec" not in sealed
    assert sealing.unseal(sealed) == "whsec_x"
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_a_key_may_be_replaced_while_the_old_one_is_kept(environment, tmp_path) -> None:
    of_file = sealing.seal("from the file")
    one, two = (hashlib.sha256(seed).hexdigest() for seed in (b"1", b"2"))
    environment.setenv("PENSTOCK_SECRET_KEY", one)
    settings.current.cache_clear()
    of_one = sealing.seal("from the first")
    environment.setenv("PENSTOCK_SECRET_KEY", f"{two},{one}")
    settings.current.cache_clear()

    assert sealing.unseal(of_file) == "from the file"
    assert sealing.unseal(of_one) == "from the first"
    environment.setenv("PENSTOCK_SECRET_KEY", two)
    settings.current.cache_clear()
    with pytest.raises(Unavailable, match="PENSTOCK_SECRET_KEY"):
        sealing.unseal(of_one)


def test_names_that_nobody_answers_hold_only_their_tenants_threads(monkeypatch) -> None:
    # Given a system whose look-up of one name takes for ever
    release, really = threading.Event(), socket.getaddrinfo

    def slow(host, *arguments, **options):
        if host == "slow.example":
            release.wait(30)
        return really(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(lookup, "PATIENCE", 0.3)

    # When a tenant looks it up far more often than it has threads
    async def look() -> list[object]:
        slow_ones = [Resolver(1).resolve("slow.example", 443) for _ in range(20)]
        return await asyncio.gather(*slow_ones, Resolver(2).resolve("127.1", 443), return_exceptions=True)

    *failed, found = asyncio.run(look())

    # Then each gives up in time, another tenant's look-up is not held up, and no more threads are taken
    assert all(isinstance(error, NameNotFound) for error in failed)
    assert [one["host"] for one in found] == ["127.0.0.1"]
    assert lookup._held == {1: lookup.OF_A_TENANT}
    release.set()
    wait_until(lambda: not lookup._held, what="the threads are free again")
