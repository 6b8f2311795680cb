"""What the published schema of a kind of file says of one; check-jsonschema brings it along."""

import subprocess
import sys
from pathlib import Path


def faults(schema: str, file: Path) -> str:
    """What is wrong with `file`; nothing when it is valid."""
    judge = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(file)]
    judged = subprocess.run(judge, check=False, capture_output=True, text=True)
    return judged.stdout + judged.stderr if judged.returncode else ""
