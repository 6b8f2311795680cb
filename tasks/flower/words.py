"""Tasks as Flower's list shows them: whose they are, and what came of them."""

from app.core.pipeline.windows import Publication

LONGEST_NAME = 20  # characters; with the id and the range the list shows 80


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


def job(name: str | None, uid: object) -> str:
    """`reviews.csv 01a21ce3-7c05-7551-8a45-67ff86d032df`."""
    shown = name or "job"
    return f"{shown if len(shown) <= LONGEST_NAME else f'{shown[: LONGEST_NAME - 1]}…'} {uid}"


def window(publication: Publication) -> str:
    """The job, and which of its records are offered."""
    return f"{job(publication.name, publication.job)} · {publication.records}"
