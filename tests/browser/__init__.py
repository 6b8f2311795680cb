"""The page in a real browser. A package, so that its modules share one browser and one Penstock."""
