"""The file of answers: tried before anything is paid, whole or not there, and never over somebody else's."""

import threading
from pathlib import Path

import pytest

from app.cli.jobs import written
from app.errors import BadInput


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "hers"
    folder.mkdir()
    return folder / "reviews.answers.csv"


@pytest.fixture
def write(out, tmp_path):
    def write(content: bytes, prompt: str = "first") -> Path | None:
        return put(out, content, prompt, tmp_path / "data")

    return write


def put(out: Path, content: bytes, prompt: str, data: Path) -> Path | None:
    """Write `content`; returns where what was there is kept."""

    def fill(to):
        to.write(content)
        return out

    place, kept = written.write(out, fill, prompt, data)
    assert place == out
    return kept


def names(out) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


def test_the_answers_of_an_equal_run_are_replaced(write, out):
    assert write(b"some") is None
    assert write(b"all") is None
    assert out.read_bytes() == b"all"
    assert names(out) == [out.name]


def test_the_answers_of_another_prompt_are_kept_beside_the_new_ones(write, out):
    write(b"first")
    assert write(b"second", "second") == out.with_name("reviews.answers.1.csv")
    assert write(b"third", "third") == out.with_name("reviews.answers.2.csv")
    kept = [out.with_name(f"reviews.answers.{number}.csv").read_bytes() for number in (1, 2)]
    assert kept == [b"first", b"second"]
    assert out.read_bytes() == b"third"


def test_answers_with_her_notes_in_them_are_kept(write, out):
    write(b"answers")
    out.write_bytes(b"answers, and her notes")
    kept = write(b"answers")
    assert kept is not None
    assert kept.read_bytes() == b"answers, and her notes"


def test_a_file_that_is_equal_already_needs_no_copy(write, out):
    out.write_bytes(b"answers")
    assert write(b"answers") is None
    assert names(out) == [out.name]


def test_what_fails_midway_leaves_the_file_as_it_was(write, out, tmp_path):
    write(b"whole")

    def fail(to):
        to.write(b"half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        written.write(out, fail, "first", tmp_path / "data")
    assert out.read_bytes() == b"whole"
    assert names(out) == [out.name]


def test_two_equal_runs_that_write_at_once_do_not_hurt_each_other(out, tmp_path):
    both = threading.Barrier(2, timeout=10)
    kept: list[Path | None] = []

    def fill(to):
        to.write(b"answers")
        both.wait()
        return out

    def run():
        kept.append(written.write(out, fill, "first", tmp_path / "data")[1])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept == [None, None]
    assert names(out) == [out.name]


def test_without_a_data_directory_everything_is_kept(out):
    for content in (b"first", b"second"):
        put(out, content, "same", Path("/proc/nowhere"))
    assert names(out) == ["reviews.answers.1.csv", out.name]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/proc/answers.csv", "/proc cannot be written to"),
        ("/proc", "/proc is a directory"),
        ("/nowhere/answers.csv", "/nowhere is not a directory"),
    ],
)
def test_a_place_that_cannot_take_the_answers_is_refused_before_anything_is_asked(place, why):
    with pytest.raises(BadInput, match=why):
        written.check(Path(place))


def test_trying_the_place_touches_nothing(out):
    out.write_bytes(b"hers")
    written.check(out)
    assert out.read_bytes() == b"hers"
    assert names(out) == [out.name]
