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
