"""What the page is made with: others' files as they came, and little of it all."""

import shutil
from pathlib import Path

import pytest

from release import assets

ASSETS = Path(__file__).parents[2] / "app" / "dashboard" / "assets"
VENDOR = ASSETS / "vendor"
SCRIPTS = 105_000  # bytes, of others and of ours, uncompressed


def files(folder: Path) -> dict[str, str]:
    """The files of the manifest, each with its hash."""
    return {
        name: file["sha256"] for package in assets.read(folder) for name, file in package["files"].items()
    }


def differing(folder: Path) -> list[str]:
    """The files that are not what the manifest says, or that it does not say."""
    known = files(folder)
    there = {path.name: assets.sha256(path) for path in folder.iterdir() if path.name != assets.MANIFEST}
    return sorted(name for name in known.keys() | there.keys() if known.get(name) != there.get(name))


def test_a_file_that_is_changed_added_or_gone_is_found(tmp_path: Path) -> None:
    folder = shutil.copytree(VENDOR, tmp_path / "vendor")
    with (folder / "htmx.min.js").open("ab") as file:
        file.write(b"\n")
    (folder / "more.js").touch()
    (folder / "uPlot.min.css").unlink()

    assert differing(folder) == ["htmx.min.js", "more.js", "uPlot.min.css"]


def test_files_of_others_are_as_they_came() -> None:
    assert differing(VENDOR) == []


@pytest.mark.parametrize("package", assets.read(VENDOR), ids=lambda package: package["name"])
def test_each_package_has_its_version_and_its_licence(package: assets.Package) -> None:
    assert package["version"]
    assert package["licence"] in {"0BSD", "MIT"}
    assert [name for name in package["files"] if name.endswith(".LICENSE")], package["name"]


def test_all_scripts_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in ASSETS.rglob("*.js")}
    assert sum(sizes.values()) <= SCRIPTS, sizes
