"""Where everything is kept if PENSTOCK_DATA does not say so: a folder of the user's own.

One folder for all commands, whatever folder they are typed in: what was answered in one is not paid for again
in another.
"""

from collections.abc import Mapping
from pathlib import Path

HERE = Path("data")  # where it was kept by earlier releases
OURS = ("penstock.db", "batch.db", "batch_jobs/batch.db", "api-key")  # each shows that `HERE` is Penstock's


def default(environ: Mapping[str, str]) -> Path:
    """`./data` if Penstock has used it before, else `penstock` in XDG_DATA_HOME or `~/.local/share`."""
    here = HERE.resolve()
    home, shared = environ.get("HOME", "").strip(), environ.get("XDG_DATA_HOME", "").strip()
    if _is_ours(here) or not (home or shared):
        return here
    # A relative path there is to be ignored, says the XDG base directory specification.
    base = Path(shared) if Path(shared).is_absolute() else Path(home, ".local", "share")
    return (base / "penstock").resolve()


def _is_ours(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in OURS)
    except OSError:  # it cannot be entered
        return False
