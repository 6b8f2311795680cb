"""What lies on disk is closed to other users, and what is not Penstock's is left as it is."""

import os
from pathlib import Path

import pytest

from config import private, settings
from tests.support.commands import open_to_others


@pytest.fixture
def data(tmp_path):
    """A data directory as an earlier release left it, open to everybody."""
    folder = tmp_path / "data"
    before = os.umask(0o022)
    for name in ("logs/web.log", "broker/valkey.conf", "blobs/raw/1"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    for name in ("penstock.db", "penstock.db-wal", "penstock.db-shm", "api-key", "up.lock"):
        (folder / name).write_text("secret")
    yield folder
    os.umask(before)


def chosen(data: Path, **more: str) -> settings.Settings:
    return settings.read({"PENSTOCK_DATA": str(data), **more})


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_all_that_was_open_is_closed_with_the_directory(data, caplog):
    caplog.set_level("WARNING")
    assert list(private.exposed(chosen(data))) == [data]

    private.keep(chosen(data))

    assert mode(data) == 0o700
    assert {mode(path) for path in data.iterdir() if path.is_dir()} == {0o700}
    assert {mode(path) for path in data.iterdir() if path.is_file()} == {0o600}
    assert list(private.exposed(chosen(data))) == []
    assert f"{data} was open to other users of this machine (mode 0755): closed" in caplog.messages


def test_what_is_made_afterwards_is_closed_from_the_start(data):
    private.keep(chosen(data))
    made = data / "blobs" / "new" / "deeper"
    made.mkdir(parents=True)
    (made / "file").write_text("secret")
    assert open_to_others(data / "blobs" / "new") == []


def test_nothing_is_said_of_what_is_closed(data, caplog):
    private.keep(chosen(data))
    caplog.clear()
    private.keep(chosen(data))
    assert caplog.messages == []


def test_a_directory_with_other_things_stays_open_but_what_is_ours_is_closed(data):
    # Given a directory that somebody else's program uses, too
    (data / "index.html").write_text("for everybody")

    private.keep(chosen(data))

    assert (mode(data), mode(data / "index.html")) == (0o755, 0o644)
    assert (mode(data / "penstock.db"), mode(data / "logs")) == (0o600, 0o700)
    assert list(private.exposed(chosen(data))) == [data]
    assert not private.is_ours_alone(data)


@pytest.mark.parametrize("shared", [0o1777, 0o2775])
def test_a_directory_that_is_shared_on_purpose_stays_as_it_is(tmp_path, shared):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(shared)
    private.keep(chosen(folder))
    assert mode(folder) == shared


def test_what_a_link_leads_to_is_left_alone(data, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    outside.chmod(0o644)
    (data / "api-key.part").symlink_to(outside)
    private.keep(chosen(data))
    assert mode(outside) == 0o644


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": "sqlite:///{folder}/other.db"},
        {"DATABASE_URL": "sqlite:///{folder}/other.db?timeout=5"},
        {"BATCH_PERSISTENCE_BACKEND": "sqlite", "BATCH_SQLITE_PATH": "{folder}/other.db"},
    ],
)
def test_a_database_somewhere_else_is_closed_and_its_folder_is_left_alone(data, tmp_path, variables):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    folder.chmod(0o755)
    files = [folder / f"other.db{part}" for part in ("", "-wal", "-shm")]
    for file in files:
        file.write_bytes(private.SQLITE_HEADER + b"secret")
        file.chmod(0o644)
    found = chosen(data, **{name: value.format(folder=folder) for name, value in variables.items()})
    assert set(private.exposed(found)) == {data, *files}

    private.keep(found)

    assert {mode(file) for file in files} == {0o600}
    assert mode(folder) == 0o755
    assert list(private.exposed(found)) == []


def test_a_file_that_is_no_database_stays_as_it_is_though_it_is_named_as_one(data, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost")
    hosts.chmod(0o644)

    private.keep(chosen(data, DATABASE_URL=f"sqlite:///{hosts}"))

    assert mode(hosts) == 0o644


def test_a_directory_that_is_not_there_is_no_matter(tmp_path):
    private.keep(chosen(tmp_path / "nowhere"))
    assert list(private.exposed(chosen(tmp_path / "nowhere"))) == []
