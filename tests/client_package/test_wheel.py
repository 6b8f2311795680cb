"""What is installed: the wheel, with one name at its top and httpx as all that it needs."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"app", "tasks", "models", "config", "pandas", "polars", "pyarrow"}
LOADED = f"import sys; print(*sorted({OURS!r} & set(sys.modules)), sys.modules['penstock_client'].__file__)"
PROGRAM = """
from penstock_client import Penstock
with Penstock() as client:
    [answer] = client.run([{"word": "penstock"}], "Say {{ word }}", model="simulated")
assert answer.succeeded and answer.row == {"word": "penstock"}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "client", folder / "client", ignore=ignored)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    run([sys.executable, *build, "--wheel-dir", folder, folder / "client"])
    [made] = folder.glob("*.whl")
    return made


def run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(command, env=environment or None, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_one_name_at_its_top_its_types_and_one_requirement(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [told] = [name for name in names if name.endswith("/METADATA")]
        about = message_from_string(archive.read(told).decode())
    modules = {path.name for path in (ROOT / "client" / "penstock_client").iterdir() if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {
        f"penstock_client/{name}" for name in modules
    }
    assert "penstock_client/py.typed" in names
    assert about.get_all("Requires-Dist") == ["httpx<1,>=0.27"]
    assert (about["Requires-Python"], about["License-Expression"]) == (">=3.10", "Apache-2.0")


def test_the_wheel_loads_nothing_of_the_server_and_no_frames(wheel):
    program = f"import sys; sys.path.insert(0, {str(wheel)!r}); import penstock_client; {LOADED}"
    said = run([sys.executable, "-I", "-c", program])
    assert said.split() == [f"{wheel}/penstock_client/__init__.py"]


@pytest.mark.long
def test_the_wheel_is_installed_with_what_it_asks_for_and_runs(wheel, site, tmp_path):
    run([sys.executable, "-m", "venv", tmp_path / "env"])
    python = tmp_path / "env" / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel])
    said = run([python, "-I", "-c", PROGRAM + LOADED], PENSTOCK_URL=site.url, PENSTOCK_API_KEY=site.key)
    assert said.startswith(str(tmp_path))
