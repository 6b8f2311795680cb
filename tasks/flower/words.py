"""Tasks as Flower's list shows them: whose they are, and what came of them."""

from app.core.pipeline.windows import Publication

LONGEST_NAME = 20  # characters; a list shows some forty, of which the records take up the rest


class Told:
    """A task's result for people.

    Of a string Celery's events would show Python's quotes.
    """

    def __init__(self, text: object) -> None:
        self._text = str(text)

    def __repr__(self) -> str:
        return self._text

    def __json__(self) -> str:
        """For a chord's books, in Redis."""
        return self._text


def job(uid: object, name: str | None = None) -> str:
    """For what concerns a job as a whole."""
    return f"{_short(name)} {uid}"


def window(publication: Publication) -> str:
    """`reviews.csv · 1–1,000 of 45,000 · 01a21ce3-7c05-7551-8a45-67ff86d032df`."""
    return f"{_short(publication.name)} · {publication.records} · {publication.job}"


def _short(name: str | None) -> str:
    shown = name or "job"
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
