"""How much of the memory that the machine allows this process is in use, by its control group of version 2.

The bound of a container or a unit holds for all processes in it, so their memory counts together.
"""

from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")


def group_of_this_process() -> Path:
    """The folder of its control group; where there is none, a folder that does not exist."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    return MOUNTED / named[0] if named else MOUNTED / "none"


def use(group: Path) -> float | None:
    """The share that is in use of the bound of `group`, or of the folder above it that is nearest to its own.

    What the kernel can drop at once, files that were not used lately, is not in use.
    """
    inside = [folder for folder in (group, *group.parents) if folder.is_relative_to(MOUNTED)] or [group]
    return max((share for folder in inside if (share := _share(folder)) is not None), default=None)


def _share(folder: Path) -> float | None:
    try:
        bound = (folder / "memory.max").read_text(encoding="utf-8").strip()
        used = int((folder / "memory.current").read_text(encoding="utf-8"))
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None  # no control group, or the root's, which has no bound
    if not bound.isdigit():  # "max"
        return None
    statistics = dict(line.split() for line in lines)
    return max(0, used - int(statistics["inactive_file"])) / int(bound)
