"""The checks of `penstock doctor`, one module per part: they report and advise, and change nothing."""
