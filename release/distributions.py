"""Builds what is released, an sdist and the wheel made of it (`make release`).

Whoever builds the same commit with the same setuptools gets the same bytes: times are the commit's, files
belong to nobody, and nothing that is not tracked gets in. Nothing is fetched.
"""

import gzip
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from release import version
from release.archives import unpack

ROOT = Path(__file__).parents[1]


def build(root: Path, out: Path) -> tuple[Path, Path]:
    """The sdist and the wheel of the tracked files, as they are in the folder, in `out`."""
    at, out = int(version.git(root, "log", "-1", "--format=%ct")), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        for name in version.git(root, "ls-files", "-z").split("\0")[:-1]:
            copy = tree / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((root / name).read_bytes())
        made = _run("build_sdist", tree, Path(folder, "made"), at)
        sdist = _settled(made, out / made.name, at)
        with tarfile.open(sdist) as archive:
            unpack(archive, Path(folder))
        return sdist, _run("build_wheel", Path(folder, sdist.name.removesuffix(".tar.gz")), out, at)


def _run(hook: str, tree: Path, out: Path, at: int) -> Path:
    """A hook of setuptools for build tools (PEP 517), in a process of its own; returns what it has made."""
    out.mkdir(exist_ok=True)
    program = f"from setuptools import build_meta; print(build_meta.{hook}({str(out)!r}))"
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", program],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(at)},
        capture_output=True,
        text=True,
        umask=0o022,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{hook} failed:\n{done.stdout}{done.stderr}")
    return out / done.stdout.splitlines()[-1]


def _settled(made: Path, out: Path, at: int) -> Path:
    """The same archive without what differs from one build to the next: times, modes, owners, order."""
    with (
        tarfile.open(made) as archive,
        out.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=at) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as settled,
    ):
        for one in sorted(archive.getmembers(), key=lambda member: member.name):
            one.mtime, one.mode, one.pax_headers = at, 0o644 if one.isfile() else 0o755, {}
            one.uid, one.gid, one.uname, one.gname = 0, 0, "", ""
            settled.addfile(one, archive.extractfile(one) if one.isfile() else None)
    return out


def main(out: Path) -> None:
    """Build the release in `out`, unless it is none."""
    faults = version.faults(ROOT, version.tag_of(ROOT))
    if version.git(ROOT, "status", "--porcelain"):
        faults.append("files differ from the commit: commit them, or put them away")
    if faults:
        sys.exit("\n  ".join([f"this is no release of {version.of(ROOT)}:", *faults]))
    shutil.rmtree(out, ignore_errors=True)
    for path in build(ROOT, out):
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
