"""What the page is made and tested with: others' files as they came, and few scripts in all."""

import shutil
from pathlib import Path

import pytest

from release import manifest

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "app" / "dashboard" / "assets"
VENDOR = ASSETS / "vendor"
FOLDERS = (VENDOR, ROOT / "tests" / "browser" / "vendor")
PACKAGES = [package for folder in FOLDERS for package in manifest.read(folder)]
SCRIPTS = 105_000  # bytes, of others and of ours, uncompressed


def files(folder: Path) -> dict[str, str]:
    """The files of the manifest, each with its hash."""
    return {
        name: file["sha256"] for package in manifest.read(folder) for name, file in package["files"].items()
    }


def differing(folder: Path) -> list[str]:
    """The files that are not what the manifest says, or that it does not say."""
    known = files(folder)
    there = {path.name: manifest.sha256(path) for path in folder.iterdir() if path.name != manifest.MANIFEST}
    return sorted(name for name in known.keys() | there.keys() if known.get(name) != there.get(name))


def test_a_file_that_is_changed_added_or_gone_is_found(tmp_path: Path) -> None:
    folder = shutil.copytree(VENDOR, tmp_path / "vendor")
    with (folder / "htmx.min.js").open("ab") as file:
        file.write(b"\n")
    (folder / "more.js").touch()
    (folder / "uPlot.min.css").unlink()

    assert differing(folder) == ["htmx.min.js", "more.js", "uPlot.min.css"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_files_of_others_are_as_they_came(folder: Path) -> None:
    assert differing(folder) == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_each_package_has_its_version_and_its_licence(package: manifest.Package) -> None:
    assert package["version"]
    assert package["licence"] in {"0BSD", "MIT", "MPL-2.0"}
    assert any(name.endswith(".LICENSE") for name in package["files"])


def test_all_scripts_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in ASSETS.rglob("*.js")}
    assert sum(sizes.values()) <= SCRIPTS, sizes
