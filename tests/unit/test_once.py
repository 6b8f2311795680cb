"""What a process has one of is made once, however many threads come first."""

import threading
from concurrent.futures import ThreadPoolExecutor

from config.once import once

THREADS = 8


def test_threads_that_come_first_together_get_the_same_one():
    # Given something that all of them ask for while it is being made
    come, made = threading.Barrier(THREADS), []

    @once
    def slow() -> object:
        made.append(threading.Event().wait(0.05))
        return object()

    def ask(_: int) -> object:
        come.wait()
        return slow()

    # When they do
    with ThreadPoolExecutor(THREADS) as pool:
        got = set(pool.map(ask, range(THREADS)))

    # Then it was made for the first, and the others waited
    assert (len(got), len(made)) == (1, 1)


def test_a_failure_is_not_kept():
    answers = iter([OSError("away"), "here"])

    @once
    def made() -> object:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    seen = []
    for _ in range(3):
        try:
            seen.append(made())
        except OSError:
            seen.append("failed")

    assert seen == ["failed", "here", "here"]


def test_after_a_clear_another_one_is_made():
    @once
    def made() -> object:
        return object()

    first = made()
    made.cache_clear()
    assert made() is not first
