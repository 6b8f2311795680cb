"""What the environment may say about rows and callers."""

import hashlib
import secrets
from pathlib import Path

import pytest

from config import settings
from config.settings import BadSetting

ONE, TWO = "4f1d2c0b9a8e7f6d5c3b2a190817263f", "Zx7-qW3_eR9tY1uI5oP2aS8dF4gH6jK0"
NO_ORIGINS = (
    "*",
    "null",
    "a.example",
    "https://a.example/path",
    "https://*.a.example",
    "https://.*",
    "https://a.example$",
    "https://(a|b).example",
    "https://user@a.example",
    "https://a.example:port",
    "https://a.example:99999",
    "https://a.example\\.",
    "https://a example",
    "ftp://a.example",
    "https://",
)


def test_rows_are_where_the_backend_says_and_database_url_beats_it():
    where = {
        (): f"sqlite:///{Path('data/penstock.db').resolve()}",
        ("sqlite",): f"sqlite:///{Path('data/batch.db').resolve()}",
        ("sqlite", "BATCH_SQLITE_PATH"): "sqlite:////elsewhere",
        ("file",): f"sqlite:///{Path('data/batch_jobs/batch.db').resolve()}",
        ("file", "BATCH_JOB_STORAGE_PATH"): "sqlite:////elsewhere/batch.db",
        ("memory",): "",
        ("memory", "DATABASE_URL"): "sqlite:////elsewhere",
    }
    for (backend, *names), url in ((key or ("",), url) for key, url in where.items()):
        values = {name: "sqlite:////elsewhere" if name == "DATABASE_URL" else "/elsewhere" for name in names}

        found = settings.read({"BATCH_PERSISTENCE_BACKEND": backend, **values})

        assert found.database_url == url
        assert (found.status_files is not None) == (backend == "file")


def test_a_process_by_itself_refuses_rows_in_memory(monkeypatch):
    monkeypatch.setenv("BATCH_PERSISTENCE_BACKEND", "memory")
    settings.current.cache_clear()

    with pytest.raises(BadSetting, match="penstock up"):
        settings.current()


def test_keys_are_hashed_and_origins_and_flags_are_checked():
    found = settings.read(
        {
            "API_KEYS": f" {ONE}, {TWO} ,,",
            "CORS_ORIGINS": "https://A.example:443, http://localhost:3000/,http://[::1]:80,http://[::1]:8080",
            "REQUIRE_API_KEY": "False",
        }
    )
    assert found.api_keys == {hashlib.sha256(key.encode()).digest() for key in (ONE, TWO)}
    assert found.cors_origins == (
        "https://a.example",
        "http://localhost:3000",
        "http://[::1]",
        "http://[::1]:8080",
    )
    assert found.require_api_key is False
    for name, value in [
        *(("CORS_ORIGINS", origin) for origin in NO_ORIGINS),
        ("REQUIRE_API_KEY", "maybe"),
        ("BATCH_PERSISTENCE_BACKEND", "disk"),
        ("CHAT_MODEL_ANTHROPIC", "gpt-5"),
    ]:
        with pytest.raises(BadSetting, match=name):
            settings.read({name: value})


@pytest.mark.parametrize("origin", NO_ORIGINS)
def test_the_one_of_several_origins_that_is_none_is_named(origin):
    with pytest.raises(BadSetting) as caught:
        settings.read({"CORS_ORIGINS": f"https://fine.example,{origin}"})
    assert f"CORS_ORIGINS={origin!r} cannot be used" in str(caught.value)


@pytest.mark.parametrize(
    "weak",
    ["weak", ONE[:31], "x" * 64, "ab" * 32, "0123456789abcdef" * 4, "abcdefghijklmnopqrstuvwxyz0123456789"],
)
def test_a_key_that_could_be_guessed_is_refused_and_not_shown(weak):
    with pytest.raises(BadSetting) as caught:
        settings.read({"API_KEYS": f"{ONE},{weak},{TWO}"})

    said = str(caught.value)
    assert said.startswith("API_KEYS='(not shown)' cannot be used: give keys of at least 32 characters")
    assert "number 2 of 3" in said
    assert "openssl rand -hex 32" in said
    assert not any(key in said for key in (weak, ONE, TWO))


def test_a_random_key_is_never_too_weak():
    for size in (16, 32):
        for _ in range(1_000):
            settings.read({"API_KEYS": f"{secrets.token_hex(size)},{secrets.token_urlsafe(size + 8)}"})


def test_hosts_are_names_alone():
    assert settings.read({"ALLOWED_HOSTS": "Penstock.internal, web"}).allowed_hosts == {
        "penstock.internal",
        "web",
    }
    for value in ("*", "*.example.com", "web:8000", "https://web", "a b", "web,/"):
        with pytest.raises(BadSetting, match="ALLOWED_HOSTS"):
            settings.read({"ALLOWED_HOSTS": value})


def test_all_that_cannot_be_used_is_told_at_once_each_with_a_value_that_can():
    with pytest.raises(BadSetting) as caught:
        settings.read(
            {
                "CALL_DEADLINE_SECONDS": "soon",
                "LOG_LEVEL": "loud",
                "BATCH_COST_PER_1K_INPUT_TOKENS": "-1",
                "API_ENV": "production",
                "API_DEBUG": "yes",
                "MAX_RECORDS": "7",
            }
        )

    assert str(caught.value).split("\n  ") == [
        "4 settings cannot be used:",
        "BATCH_COST_PER_1K_INPUT_TOKENS='-1' cannot be used: give dollars, such as 0.003:"
        " 0 to 1,000 with up to nine decimal places",
        "CALL_DEADLINE_SECONDS='soon' cannot be used: give a whole number from 1 to 3600",
        "LOG_LEVEL='loud' cannot be used: give one of DEBUG, INFO, WARNING, ERROR",
        "API_DEBUG='true' cannot be used: give false where API_ENV is production",
    ]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("DATABASE_URL", "mysql://user:PASSWORD@host/db", "mysql://user:***@host/db"),
        ("DATABASE_URL", "user:PASS@WORD@host/db", "user:***@host/db"),
        (
            "DATABASE_URL",
            "db://host/db?user=me&password=PASSWORD&x=1",
            "db://host/db?user=me&password=***&x=1",
        ),
        ("REDIS_URL", "redis://:PASS/WORD@host/0/x", "redis://:***@host/0/x"),
        ("REDIS_URL", "redis://:PASSWORD@[host/0", "redis://:***@[host/0"),
        ("OBJECT_STORE_URL", "s3://key:PASSWORD@bucket/?x", "s3://key:***@bucket/?x"),
    ],
)
def test_no_password_is_told(name, value, shown):
    with pytest.raises(BadSetting, match="cannot be used") as caught:
        settings.read({name: value})

    assert f"{name}={shown!r}" in str(caught.value)


def test_what_is_not_said_follows_from_what_is():
    found = settings.read({"REDIS_URL": "redis://host/3", "PENSTOCK_DATA": "/there", "API_ENV": "production"})

    assert (found.broker_url, found.limiter_url) == ("redis://host/4", "redis://host/5")
    assert found.object_store_url == "file:///there/blobs"
    assert (found.log_level, found.log_format) == ("INFO", "json")
    assert settings.read({"API_DEBUG": "true"}).log_level == "DEBUG"
    assert settings.read({"API_DEBUG": "true", "LOG_LEVEL": "error"}).log_level == "ERROR"


@pytest.mark.parametrize(
    "address", ["http://host/v1", "http://host/v1/", "http://host/v1/messages", "http://host/", "http://host"]
)
def test_the_path_of_the_api_is_taken_off_an_address(address):
    assert settings.read({"ANTHROPIC_BASE_URL": address}).anthropic_base_url == "http://host"


def test_an_address_with_a_password_is_refused_without_telling_it():
    with pytest.raises(BadSetting, match="without user") as caught:
        settings.read({"ANTHROPIC_BASE_URL": "http://me:PASSWORD@host/v1"})
    assert "PASSWORD" not in str(caught.value)


@pytest.mark.parametrize("name", ["REDIS_URL", "CELERY_BROKER_URL"])
@pytest.mark.parametrize("sign", "#/?")
def test_a_sign_that_cuts_a_password_is_named_with_how_to_write_it(name, sign):
    with pytest.raises(BadSetting, match="# is written %23") as caught:
        settings.read({name: f"redis://:PASS{sign}WORD@host:6379/0"})
    assert "PASS" not in str(caught.value)


def test_tls_is_verified_unless_the_address_says_no(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.touch()
    found = settings.read({"REDIS_URL": "rediss://:pw@host:6380/0", "REDIS_TLS_CA": str(ca)})
    assert found.limiter_url.startswith("rediss://:pw@host:6380/2?ssl_cert_reqs=required&ssl_ca_certs=")
    assert found.broker_url == found.results_url
    unverified = settings.read({"REDIS_URL": "rediss://host:6380/0?ssl_cert_reqs=CERT_NONE"})
    assert unverified.broker_url == "rediss://host:6380/1?ssl_cert_reqs=none"


@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_socks_proxy_is_refused_by_name(name):
    with pytest.raises(BadSetting, match=f"{name}=.*SOCKS is not supported"):
        settings.read({name: "socks5h://host:1080"})


def test_a_file_of_certificates_that_is_not_there_is_refused_by_name():
    with pytest.raises(BadSetting, match=r"REDIS_TLS_CA='/nowhere/ca.pem' cannot be used"):
        settings.read({"REDIS_URL": "rediss://host:6380/0", "REDIS_TLS_CA": "/nowhere/ca.pem"})
