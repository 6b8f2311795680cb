"""The version of a release: setup.cfg says it, the tag repeats it, and the changelog tells what is in it.

`python -m release.version` prints what the changelog tells.
"""

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

SECTION = re.compile(r"^## \[(?P<name>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def of(root: Path) -> str:
    config = ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    return config["metadata"]["version"]


def faults(root: Path, tag: str | None) -> list[str]:
    """In what the three disagree, if the commit with this tag is to be released; None: it has none."""
    version, changelog = of(root), (root / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, newest = list(SECTION.finditer(changelog))[:2]
    found = []
    if newest["name"] != version:
        found.append(f"the newest section of CHANGELOG.md is [{newest['name']}]; setup.cfg says {version}")
    elif newest["day"] is None:
        found.append(f"the section [{version}] of CHANGELOG.md has no date: write ` - YYYY-MM-DD` behind it")
    if changelog[unreleased.end() : newest.start()].strip():
        found.append(f"[Unreleased] in CHANGELOG.md is not empty: move what is in it under [{version}]")
    if tag != f"v{version}":
        found.append(f"the commit is tagged {tag or 'by nothing'}: run `git tag v{version}`")
    return found


def notes(root: Path) -> str:
    """What the changelog tells of the version."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    _, _, told = changelog.partition(f"\n## [{of(root)}]")
    return told.partition("\n")[2].partition("\n## [")[0].strip()


def tag_of(root: Path) -> str | None:
    """The tag of the present commit."""
    return git(root, "tag", "--points-at", "HEAD", "v*").strip() or None


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours


if __name__ == "__main__":
    print(notes(Path(__file__).parents[1]))
