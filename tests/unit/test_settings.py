"""What the environment may say about rows and callers."""

import hashlib
from pathlib import Path

import pytest

from config import settings
from config.settings import BadSetting


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
            "API_KEYS": " one, two ,,",
            "CORS_ORIGINS": "https://a.example, http://localhost:3000/",
            "REQUIRE_API_KEY": "False",
        }
    )
    assert found.api_keys == {hashlib.sha256(key).digest() for key in (b"one", b"two")}
    assert found.cors_origins == ("https://a.example", "http://localhost:3000")
    assert found.require_api_key is False
    for name, value in [
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "https://a.example/path"),
        ("REQUIRE_API_KEY", "maybe"),
        ("BATCH_PERSISTENCE_BACKEND", "disk"),
        ("CHAT_MODEL_ANTHROPIC", "gpt-5"),
    ]:
        with pytest.raises(BadSetting, match=name):
            settings.read({name: value})


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
