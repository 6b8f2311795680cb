"""Of the memory that a process may have, what is in use, as the kernel tells it of control groups."""

from pathlib import Path

import pytest

from app.core.monitoring import memory_bound


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory_bound, "MOUNTED", tmp_path)
    return tmp_path


def group(folder: Path, bound: str, current: int, inactive: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "memory.max").write_text(f"{bound}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon {current - inactive}\ninactive_file {inactive}\n")
    return folder


def test_files_that_can_be_dropped_are_not_in_use(mounted: Path) -> None:
    assert memory_bound.use(group(mounted, "1000", 900, inactive=400)) == 0.5


def test_the_bound_that_is_nearest_counts_that_of_a_folder_above_too(mounted: Path) -> None:
    above = group(mounted / "penstock.slice", "1000", 800)
    assert memory_bound.use(group(above / "web.service", "1000", 100)) == 0.8
    assert memory_bound.use(group(above / "web.service", "max", 100)) == 0.8
    assert memory_bound.use(above / "not-seen-from-in-here") == 0.8


def test_without_a_bound_there_is_no_share(mounted: Path) -> None:
    assert memory_bound.use(group(mounted, "max", 900)) is None
    assert memory_bound.use(mounted / "none") is None
    assert memory_bound.use(Path("/nowhere/at/all")) is None
