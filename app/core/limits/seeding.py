"""Tells a limiter that knows nothing of a group what its calls of the last minute took."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.commands.core import AsyncScript, Script
from sqlalchemy.exc import SQLAlchemyError

from app.core.limits.recent_calls import Moment
from app.core.outages import servers

EMPTIED = 0.5  # seconds after which every permit of a limiter that was emptied has been used, or is too late
AGAIN = 1.0  # seconds until rows that could not be read are read again


class Seeding:
    """Redis starts empty, and comes back empty: without this a group could take a second limit at once."""

    def __init__(self, script: Script | AsyncScript, recall: Callable[[str], Sequence[Moment]]) -> None:
        self._script, self._recall = script, recall
        self._found_empty: dict[str, float] = {}  # when a group was, monotonic

    def seed(self, run: Callable[..., Any], group: str) -> float:
        """Seed the group; returns 0, or for how many seconds it cannot be.

        `run` runs a script of the group. Some permits may not show in rows yet: where any call left lately,
        they are waited for.
        """
        try:
            moments = self._recall(group)
        except SQLAlchemyError as error:
            servers.tell(error, "seeding")
            return AGAIN
        if moments and (wait := self._until_permits_are_used(group)) > 0:
            return wait
        run(self._script, keys=[], args=[figure for moment in moments for figure in _arguments(moment)])
        return 0.0

    def _until_permits_are_used(self, group: str) -> float:
        time_now = time.monotonic()
        if time_now - self._found_empty.get(group, float("-inf")) > 10 * EMPTIED:
            self._found_empty[group] = time_now
        return self._found_empty[group] + EMPTIED - time_now


def _arguments(moment: Moment) -> tuple[int, int, int, int]:
    return round(moment.age * 1e6), moment.requests, moment.input_tokens, moment.output_tokens
