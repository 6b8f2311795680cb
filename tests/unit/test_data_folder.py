"""Where everything is kept if nothing says where."""

from pathlib import Path

import pytest

from config import data_folder, settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_one_folder_of_the_users_own_whatever_the_current_folder_is(folder, monkeypatch):
    home = folder / "home"
    found = settings.read({"HOME": str(home)}).data
    assert found == home / ".local" / "share" / "penstock"
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    assert settings.read({"HOME": str(home)}).data == found


def test_xdg_data_home_says_where_unless_it_is_relative(folder):
    home = str(folder / "home")
    assert data_folder.default({"HOME": home, "XDG_DATA_HOME": "/shared"}) == Path("/shared/penstock")
    relative = data_folder.default({"HOME": home, "XDG_DATA_HOME": "shared"})
    assert relative == Path(home, ".local/share/penstock")


@pytest.mark.parametrize("name", data_folder.OURS)
def test_a_data_folder_of_an_earlier_release_goes_on(folder, name):
    kept = folder / "data" / name
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert data_folder.default({"HOME": "/home/her"}) == folder / "data"


def test_a_data_folder_of_hers_is_left_alone(folder):
    (folder / "data").mkdir()
    (folder / "data" / "reviews.csv").touch()
    assert data_folder.default({"HOME": "/home/her"}) == Path("/home/her/.local/share/penstock")


def test_the_variable_beats_everything(folder):
    (folder / "data").mkdir()
    (folder / "data" / "penstock.db").touch()
    assert settings.read({"HOME": "/home/her", "PENSTOCK_DATA": "/there"}).data == Path("/there")


def test_a_process_without_a_home_keeps_it_in_the_current_folder(folder):
    assert data_folder.default({}) == folder / "data"
