"""Calls of other APIs whose callers wait for one answer, whole or streamed."""
