"""The data directory: exists, is closed to other users, is writable, and has room."""

import os
import shutil
import tempfile
from collections.abc import Iterator

from app.doctor.finding import Finding, ok, warning, wrong
from config import private, settings
from config.settings import Settings

SUBJECTS = ("storage",)
REMEDY = "give the user that runs Penstock write access to PENSTOCK_DATA, or choose another directory"
LITTLE = 100_000_000  # bytes


def look() -> Iterator[Finding]:
    chosen = settings.current()
    if not chosen.data.is_dir():
        yield wrong(
            "storage",
            f"the directory {chosen.data} does not exist",
            "create it, or choose another in PENSTOCK_DATA",
        )
        return
    yield from _exposed(chosen)
    with tempfile.TemporaryFile(dir=chosen.data) as file:
        file.write(b"doctor")
        file.flush()
        os.fsync(file.fileno())
    free = shutil.disk_usage(chosen.data).free
    text = f"{chosen.data} is writable; {free / 1e9:,.1f} GB are free"
    if free < LITTLE:
        yield wrong("storage", text, "free some space: uploads and SQLite fail when the disk is full")
    elif free < chosen.max_upload_bytes:
        yield warning(
            "storage", text, f"free some space: an upload may have {chosen.max_upload_bytes / 1e9:,.1f} GB"
        )
    else:
        yield ok("storage", text)


def _exposed(chosen: Settings) -> Iterator[Finding]:
    for path in private.exposed(chosen):
        remedy = f"run `chmod go= {path}`: prompts, answers and keys are in there"
        if path == chosen.data and not private.is_ours_alone(path):
            remedy = (
                "choose a directory in PENSTOCK_DATA that nothing else uses: Penstock leaves this one open"
            )
        yield warning("storage", f"{path} is open to other users of this machine", remedy)
