"""Tests of one running Penstock. A package, so that it ends with the last of them, not with the session."""
