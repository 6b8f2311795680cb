"""A release is one where setup.cfg, changelog and tag say the same, and says what to do where they do not."""

from pathlib import Path

import pytest

from release import version

ROOT = Path(__file__).parents[2]
RELEASED = "# Changelog\n\n## [Unreleased]\n\n## [0.3.0] - 2026-12-01\n\n- News.\n\n## [0.2.0] - 2026-11-01\n"


def project(folder: Path, changelog: str) -> Path:
    (folder / "setup.cfg").write_text("[metadata]\nversion = 0.3.0\n")
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


def test_all_three_agree(tmp_path):
    assert version.faults(project(tmp_path, RELEASED), "v0.3.0") == []
    assert version.notes(tmp_path) == "- News."


@pytest.mark.parametrize(
    ("changelog", "tag", "fault"),
    [
        (RELEASED, None, "the commit is tagged by nothing: run `git tag v0.3.0`"),
        (RELEASED, "v0.2.0", "the commit is tagged v0.2.0: run `git tag v0.3.0`"),
        (RELEASED.replace("0.3.0", "0.2.9"), "v0.3.0", "is [0.2.9]; setup.cfg says 0.3.0"),
        (RELEASED.replace(" - 2026-12-01", ""), "v0.3.0", "has no date"),
        (
            RELEASED.replace("eased]\n", "eased]\n\n- More.\n"),
            "v0.3.0",
            "CHANGELOG.md is not empty",
        ),
    ],
)
def test_what_does_not_agree_is_named_with_what_to_do(tmp_path, changelog, tag, fault):
    [found] = version.faults(project(tmp_path, changelog), tag)
    assert fault in found


def test_the_changelog_of_this_commit_has_its_version():
    """And if it is tagged, it is a release."""
    tag = version.tag_of(ROOT)
    found = version.faults(ROOT, tag)
    assert not any("setup.cfg says" in fault for fault in found)
    assert found == [] or tag is None
