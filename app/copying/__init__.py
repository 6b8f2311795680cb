"""All that one database holds, copied into another one, of either kind: what `penstock copy` does."""
