"""The log of a process of Celery's: how it is set up, what is not written, whose work its lines are about."""
