"""Values of variables in files."""

import os
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.cli import environment
from app.errors import BadInput
from app.providers import registry
from config import secret_files, settings
from config.settings import BadSetting

ANY_SIGN = "p@ss/w#rd:%?"


def written(folder: Path, name: str, content: str) -> str:
    file = folder / name
    file.write_text(content)
    return str(file)


def test_a_file_holds_the_value_of_a_variable_that_is_unset(tmp_path):
    file = written(tmp_path, "key", "sk-of-the-file\n")
    for own in ({}, {"ANTHROPIC_API_KEY": " "}):
        assert settings.read({"ANTHROPIC_API_KEY_FILE": file, **own}).anthropic_api_key == "sk-of-the-file"
    given = settings.read({"ANTHROPIC_API_KEY_FILE": file, "ANTHROPIC_API_KEY": "sk-itself"})
    assert given.anthropic_api_key == "sk-itself"


def test_an_empty_file_is_an_unset_variable(tmp_path):
    full, empty = written(tmp_path, "url", "redis://cache/0"), written(tmp_path, "empty", "")
    assert secret_files.is_given("REDIS_URL", {"REDIS_URL_FILE": full})
    assert not secret_files.is_given("REDIS_URL", {"REDIS_URL_FILE": empty, "REDIS_URL": ""})
    assert settings.read({"ANTHROPIC_API_KEY_FILE": written(tmp_path, "key", "\n")}) == settings.read({})
    assert settings.read({"ANTHROPIC_API_KEY_FILE": ""}) == settings.read({})


def test_the_key_of_an_endpoint_may_be_in_a_file_as_well(tmp_path):
    providers = written(
        tmp_path,
        "providers.toml",
        '[[endpoint]]\nname = "ours"\nbase_url = "http://ours/v1"\nkey = "OURS_KEY"\nmodels = ["ours:*"]\n',
    )
    found = settings.read(
        {"PENSTOCK_PROVIDERS_FILE": providers, "OURS_KEY_FILE": written(tmp_path, "k", "sk-ours")}
    )
    assert [each.key_value for each in found.endpoints if each.name == "ours"] == ["sk-ours"]


def test_a_file_that_cannot_be_read_is_named_and_its_content_is_not(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00secret")
    large = written(tmp_path, "large", "secret" * 20_000)
    for file, why in [("/nowhere/key", "No such file"), (str(tmp_path), "Is a directory"),
                      (str(binary), "not UTF-8"), (large, "at most 65,536 bytes")]:  # fmt: skip
        with pytest.raises(BadSetting) as caught:
            settings.read({"PENSTOCK_SECRET_KEY_FILE": file, "LOG_LEVEL": "loud"})
        assert f"PENSTOCK_SECRET_KEY_FILE={file!r} cannot be used" in str(caught.value)
        assert why in str(caught.value)
        assert "LOG_LEVEL" in str(caught.value)  # all at once, as ever
        assert "secret" not in str(caught.value)


def test_a_weak_secret_in_a_file_is_refused_under_its_variables_name(tmp_path):
    with pytest.raises(BadSetting, match="PENSTOCK_SECRET_KEY='\\(not shown\\)'"):
        settings.read({"PENSTOCK_SECRET_KEY_FILE": written(tmp_path, "key", "weak")})


def test_a_file_of_somebody_else_is_not_opened(tmp_path):
    assert settings.read({"SSL_CERT_FILE": "/nowhere", "POSTGRES_PASSWORD_FILE": "/nowhere"})


def test_a_password_of_any_signs_becomes_part_of_an_address(tmp_path):
    file = written(tmp_path, "password", f"{ANY_SIGN}\n")
    found = settings.read(
        {
            "DATABASE_URL": "postgresql://penstock@db:5432/penstock?sslmode=require",
            "DATABASE_PASSWORD_FILE": file,
            "REDIS_URL": "redis://cache:6379/3",
            "REDIS_PASSWORD": ANY_SIGN,
        }
    )
    database = make_url(found.database_url)
    assert (database.username, database.password, database.host) == ("penstock", ANY_SIGN, "db")
    assert database.query == {"sslmode": "require"}
    for url, number in [(found.redis_url, "3"), (found.broker_url, "4"), (found.limiter_url, "5")]:
        parts = make_url(url)
        assert (parts.password, parts.database) == (ANY_SIGN, number)


def test_an_address_with_a_password_of_its_own_keeps_it():
    found = settings.read(
        {
            "DATABASE_URL": "postgresql://u:own@db/penstock",
            "DATABASE_PASSWORD": "other",
            "REDIS_URL": "rediss://user:own@cache/0",
            "REDIS_PASSWORD": "other",
            "CELERY_BROKER_URL": "amqp://rabbit/",
        }
    )
    assert make_url(found.database_url).password == "own"
    assert "user:own@cache" in found.redis_url
    assert found.broker_url == "amqp://rabbit/"
    assert settings.read({"DATABASE_PASSWORD": "x"}).database_url == settings.read({}).database_url


def test_a_dotenv_may_name_the_files_of_our_variables_and_not_those_of_others(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text(
        "OPENAI_API_KEY_FILE=/run/a\nPENSTOCK_LIMITS_FILE=/run/b\nMINE_FILE=/run/c\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"HOME": "/nonexistent"})

    environment.read_file()

    assert os.environ == {
        "HOME": "/nonexistent",
        "OPENAI_API_KEY_FILE": "/run/a",
        "PENSTOCK_LIMITS_FILE": "/run/b",
    }


def test_a_library_is_given_what_its_file_holds(tmp_path):
    environ = {"FLOWER_BASIC_AUTH_FILE": written(tmp_path, "login", "user:password\n")}
    secret_files.provide("FLOWER_BASIC_AUTH", environ)
    secret_files.provide("FLOWER_CERTFILE", environ)
    assert environ["FLOWER_BASIC_AUTH"] == "user:password"
    assert "FLOWER_CERTFILE" not in environ


def test_a_key_that_only_workers_have_is_taken_to_be_there():
    here, told = settings.read({}), settings.read({"WORKER_KEYS": "ANTHROPIC_API_KEY, OPENAI_API_KEY"})
    with pytest.raises(BadInput, match="needs a key"):
        registry.require("claude-haiku-4-5", here)
    registry.require("claude-haiku-4-5", told)
    assert {"anthropic", "openai"} <= {provider.name for provider in registry.ready(told)}


def test_a_key_that_was_given_in_place_of_its_name_is_not_shown():
    with pytest.raises(BadSetting) as caught:
        settings.read({"WORKER_KEYS": "sk-ant-secret"})
    assert "sk-ant" not in str(caught.value)
