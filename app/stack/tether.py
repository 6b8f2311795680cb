"""Run a command that ends with its parent: `tether.py PARENT NICE COMMAND…` becomes the command.

A program of its own, run before the command takes its place, since Python code between fork and exec is not
safe. Linux sends the SIGTERM; elsewhere the keeper does. It imports nothing of ours.
A copy of the supervisor (`copies.py`) ties itself.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def tie(parent: int, niceness: int) -> None:
    """Let this process end with `parent`, and be as nice as that."""
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


if __name__ == "__main__":
    tie(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - no shell is the point
