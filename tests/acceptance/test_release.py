"""A release as somebody gets it who has no clone: a wheel, an environment with nothing else, one command."""

import csv
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from release import distributions, version

ROOT = Path(__file__).parents[2]
OURS = ("PATH", "HOME", "LANG")  # of the environment; nothing there leads to this clone


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    return distributions.build(ROOT, Path(os.path.relpath(tmp_path_factory.mktemp("dist"))))


@pytest.fixture
def environment(tmp_path) -> Path:
    """An environment of Python with pip alone."""
    run([sys.executable, "-m", "venv", tmp_path / "env"], tmp_path)
    return tmp_path / "env"


def run(command: Sequence[str | Path], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: os.environ[name] for name in OURS if name in os.environ} | more
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_demo_runs_from_the_wheel_alone(built, tmp_path, upstream):
    # Given the wheel in an environment that has what it needs from this one, and a folder of somebody's own
    run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    install = ["-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", built[1]]
    run([sys.executable, *install], tmp_path)
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "needed.pth").write_text(sysconfig.get_paths()["purelib"])

    # Then its one command answers a sheet
    the_demo_answers(tmp_path)

    # And with a key it pays for the first twenty rows, and says how all are asked
    key = {"ANTHROPIC_API_KEY": "a key", "ANTHROPIC_BASE_URL": upstream.url}
    (tmp_path / "paid").mkdir()
    penstock, data = tmp_path / "env" / "bin" / "penstock", str(tmp_path / "data")
    paid = run([penstock, "demo"], tmp_path / "paid", PENSTOCK_DATA=data, **key)
    assert [seen["outcome"] for seen in upstream.books()] == ["answered"] * 20
    assert "\n  penstock run reviews.csv --prompt '<review>{{ review }}</review> In one" in paid.stdout
    assert "INVENTED" not in paid.stderr


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_demo_runs_where_nothing_was_installed_before(built, environment, tmp_path):
    pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    tested = ["--require-hashes", "--only-binary", ":all:", "--requirement", ROOT / "constraints.txt"]
    run([*pip, *tested], tmp_path)  # as the README says
    run([*pip, "--no-deps", built[1]], tmp_path)

    the_demo_answers(tmp_path)


def the_demo_answers(folder: Path) -> None:
    """Run it in a folder whose own modules have our names, and read what it leaves there."""
    own, penstock = folder / "own", folder / "env" / "bin" / "penstock"
    (own / "config").mkdir(parents=True)
    (own / "tasks.py").write_text("raise SystemExit('this is not ours')\n")

    said = run([penstock, "demo"], own, PENSTOCK_DATA=str(folder / "data")).stderr

    assert "all answers are INVENTED and worthless" in said
    assert "298 succeeded" in said
    with (own / "reviews.answers.csv").open(encoding="utf-8-sig", newline="") as file:
        assert sum(row["status"] == "succeeded" for row in csv.DictReader(file)) == 298
    left = {path.name for path in own.iterdir()} - {"config", "tasks.py"}
    assert left == {"reviews.csv", "reviews.answers.csv"}
    assert run([penstock, "--version"], own).stdout.split()[-1] == version.of(ROOT)

    # And a sheet of the same name that is somebody's own is neither asked nor overwritten
    (own / "reviews.csv").write_text("review\nmine\n")
    done = subprocess.run([penstock, "demo"], cwd=own, capture_output=True, text=True, check=False)
    assert (done.returncode, (own / "reviews.csv").read_text()) == (2, "review\nmine\n")
    assert "another file than the sheet of the demo" in done.stderr


def test_what_is_built_holds_the_program_and_what_its_licence_wants(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    about = f"penstock-{version.of(ROOT)}.dist-info"
    assert tops == {"app", "tasks", "models", "config", "celeryconfig.py", about}
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    with tarfile.open(sdist) as archive:
        assert {member.uid + member.gid for member in archive} == {0}


@pytest.mark.long
def test_whoever_builds_it_again_gets_the_same_bytes(built, tmp_path):
    before = os.umask(0o077)  # somebody else's
    try:
        again = distributions.build(ROOT, tmp_path)
    finally:
        os.umask(before)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in built]
