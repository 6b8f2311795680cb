"""How long the fault tests take: a few moments, or as long as `make faults` has."""

import os

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
LONG = ROUNDS > 1
