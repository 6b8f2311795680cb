"""Run a command that ends with its parent: `tether.py PARENT NICE COMMAND…` becomes the command.

It is a separate program, run before the command takes its place, because Python code between fork and exec is
not safe. Linux sends the SIGTERM; elsewhere the keeper does. It imports nothing of ours. A fork of the
supervisor (`copies.py`) tethers itself.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def tie(parent: int, niceness: int) -> None:
    """Make this process end with `parent`, and set its niceness."""
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)


if __name__ == "__main__":
    tie(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606 - no shell is the point
