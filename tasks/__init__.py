"""Celery's side of Penstock. `celery -A tasks` finds the application in `tasks.celery`."""
