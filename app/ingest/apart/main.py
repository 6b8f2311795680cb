"""The helper's process: `python -m app.ingest.apart.main WORK MEMORY SECONDS [FILE]`."""

import importlib
import os
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from app.ingest.apart import frames
from app.ingest.apart.frames import ANSWER, DONE, FAULT, MISSING


def main(work: str, memory: int, seconds: int, file: int | None) -> None:
    """Do the work of a module: each value that it yields is sent, and what is said to it comes back to it."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever a library prints goes nowhere, instead of between the answers.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # pyarrow does without it, and starts in half the time
    sys.modules["numpy"] = None  # type: ignore[assignment]
    try:
        _serve(_begun(work, file), sys.stdin.buffer, output)
    except EOFError:
        return  # nobody asks any more
    except MemoryError:
        sys.exit(1)


def _begun(work: str, file: int | None) -> Callable[[], Iterator[Any]]:
    def begin() -> Iterator[Any]:
        module = importlib.import_module(f"app.ingest.apart.work.{work}")
        work_of: Callable[..., Iterator[Any]] = module.work
        return work_of() if file is None else work_of(frames.Shared(file))

    return begin


def _serve(begin: Callable[[], Iterator[Any]], asked: BinaryIO, output: BinaryIO) -> None:
    """`work` is a generator that yields an answer for each value that it is sent."""
    said = frames.receive(asked)
    try:
        generator: Any = begin()
        next(generator)  # up to where it waits for the first value
        while True:
            answer = generator.send(said)
            frames.send(output, (ANSWER, answer))
            said = frames.receive(asked)
    except StopIteration:
        frames.send(output, (DONE, None))
    except ModuleNotFoundError as error:
        frames.send(output, (MISSING, str(error.name)))
    except (EOFError, MemoryError):
        raise
    except Exception as error:  # of a library, about the file
        frames.send(output, (FAULT, str(error)[:300] or type(error).__name__))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else None)
