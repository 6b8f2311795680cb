"""Tests of one running Penstock. A package, so that it ends with the last of them and not with the session."""
