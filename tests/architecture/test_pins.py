"""What gets installed was chosen here, file by file: every version is pinned, and every pin has hashes."""

import hashlib
import os
import re
import shutil
import subprocess
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FILES = ("constraints.txt", "constraints-test.txt", "constraints-release.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pins(name: str) -> dict[str, list[str]]:
    """The lines of a file with one package each, and what follows each of them."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return {line.partition(" --")[0].strip(): line.split("--")[1:] for line in text.splitlines()}


def versions(*names: str) -> dict[str, str]:
    found = [Requirement(line) for name in names for line in pins(name)]
    return {one.name: str(one.specifier).removeprefix("==") for one in found}


def asked(*lists: str) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for text in lists for line in text.splitlines()]
    return [Requirement(line) for line in lines if line]


def not_met(wanted: list[Requirement], pinned: dict[str, str]) -> list[str]:
    return [str(one) for one in wanted if not one.specifier.contains(pinned.get(one.name.lower(), "0a0"))]


def setup_cfg() -> ConfigParser:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


@pytest.mark.parametrize("name", FILES)
def test_every_pin_is_one_version_with_hashes(name: str) -> None:
    for line, hashes in pins(name).items():
        assert re.match(r"^[a-z0-9-]+==(\d+!)?[\w.]+( ;.*)?$", line), line
        assert hashes, line
        assert all(HASH.fullmatch(f"--{one.strip()}") for one in hashes), line


def test_all_that_setup_cfg_asks_for_is_pinned_within_its_range() -> None:
    runtime = asked(setup_cfg()["options"]["install_requires"])
    tests = asked(setup_cfg()["options.extras_require"]["test"])

    assert len(runtime) > 20
    assert not_met(runtime, versions("constraints.txt")) == []
    assert not_met(tests, versions("constraints.txt", "constraints-test.txt")) == []
    assert not_met(asked("celery<5"), versions("constraints.txt")) == ["celery<5"]


def test_penstock_is_built_with_the_setuptools_that_is_pinned() -> None:
    requires = PROJECT["build-system"]["requires"]

    assert PROJECT["dependency-groups"]["build"] == requires
    assert set(requires) <= set(pins("constraints.txt"))


def test_the_tools_of_a_release_are_pinned() -> None:
    wanted = asked(*PROJECT["dependency-groups"]["release"])
    assert not_met(wanted, versions("constraints-release.txt")) == []


def test_the_tests_run_on_the_versions_that_are_released() -> None:
    ours, theirs = versions("constraints.txt"), versions("constraints-test.txt")
    assert {name: theirs[name] for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]} == {}


@pytest.mark.long
def test_setup_refuses_a_file_whose_hash_differs(tmp_path: Path) -> None:
    # Given the Makefile in a project that needs one package, pinned to a file with other bytes
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "setup.cfg").touch()
    wheel = a_wheel(tmp_path / "penstock_pinned-1.0-py3-none-any.whl")
    pin(tmp_path, hashlib.sha256(b"others").hexdigest())

    # When it is set up, then nothing is installed
    result = make_setup(tmp_path)
    assert result.returncode != 0
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert not installed(tmp_path)

    # But it is from the file that was pinned
    pin(tmp_path, hashlib.sha256(wheel.read_bytes()).hexdigest())
    make_setup(tmp_path)
    assert installed(tmp_path)


def a_wheel(path: Path) -> Path:
    """A package with one empty module."""
    about = "penstock_pinned-1.0.dist-info"
    files = {
        "penstock_pinned.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: penstock-pinned\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in files))
    return path


def pin(folder: Path, digest: str) -> None:
    (folder / "constraints.txt").write_text(f"penstock-pinned==1.0 --hash=sha256:{digest}\n")


def make_setup(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "setup"],
        cwd=folder,
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(folder: Path) -> bool:
    return any((folder / ".venv").glob("lib/*/site-packages/penstock_pinned.py"))
