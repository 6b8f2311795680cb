"""The data directory: there, writable, and with room."""

import os
import shutil
import tempfile
from collections.abc import Iterator

from app.doctor.finding import Finding, ok, warning, wrong
from config import settings

SUBJECTS = ("storage",)
REMEDY = "let the user that runs Penstock write into PENSTOCK_DATA, or name another directory"
LITTLE = 100_000_000  # bytes


def look() -> Iterator[Finding]:
    chosen = settings.current()
    if not chosen.data.is_dir():
        yield wrong(
            "storage", f"there is no directory {chosen.data}", "make it, or name another in PENSTOCK_DATA"
        )
        return
    with tempfile.TemporaryFile(dir=chosen.data) as file:
        file.write(b"doctor")
        file.flush()
        os.fsync(file.fileno())
    free = shutil.disk_usage(chosen.data).free
    text = f"{chosen.data} can be written; {free / 1e9:,.1f} GB are free"
    if free < LITTLE:
        yield wrong("storage", text, "make room: uploads and SQLite end where the disk does")
    elif free < chosen.max_upload_bytes:
        yield warning(
            "storage", text, f"make room: an upload may have {chosen.max_upload_bytes / 1e9:,.1f} GB"
        )
    else:
        yield ok("storage", text)
