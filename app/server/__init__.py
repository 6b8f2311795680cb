"""The web server: gunicorn with a worker whose threads get whole requests, and wait for no reader."""
