"""The helper's process: `python -m app.ingest.apart.main WORK FILES MEMORY SECONDS each|all`."""

import importlib
import os
import resource
import socket
import sys
from collections.abc import Generator
from typing import Any, BinaryIO

from app.ingest.apart import frames
from app.ingest.apart.frames import ANSWER, DONE, FAULT, MISSING, Asked, Shared


class Questions:
    """What the other process asks, with the files that it passes on; `seconds` are for each, or for all."""

    def __init__(self, stream: BinaryIO, files: socket.socket, seconds: int, *, each: bool) -> None:
        self._stream, self._files = stream, files
        self._seconds, self._each = seconds, each
        if not each:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    def next(self) -> Asked:
        """Raises `EOFError` where nobody asks any more."""
        value, has_file = frames.receive(self._stream)
        if self._each:
            used = resource.getrusage(resource.RUSAGE_SELF)
            until = int(used.ru_utime + used.ru_stime) + 1 + self._seconds
            resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        if not has_file:
            return Asked(value)
        _, descriptors, *_ = socket.recv_fds(self._files, 1, 1)
        return Asked(value, Shared(descriptors[0]))


def main(work: str, files: int, memory: int, seconds: int, each: str) -> None:
    """Do the work of a module: a generator that answers each question with what it yields next."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Whatever a library prints goes nowhere, instead of between the answers.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # pyarrow does without it, and starts in half the time
    sys.modules["numpy"] = None  # type: ignore[assignment]
    questions = Questions(sys.stdin.buffer, socket.socket(fileno=files), seconds, each=each == "each")
    try:
        _serve(work, questions, output)
    except EOFError:
        return
    except MemoryError:
        sys.exit(1)


def _serve(work: str, questions: Questions, output: BinaryIO) -> None:
    asked = questions.next()
    try:
        module = importlib.import_module(f"app.ingest.apart.work.{work}")
        generator: Generator[Any, Asked, None] = module.work()
        next(generator)  # up to where it waits for the first question
        while True:
            frames.send(output, (ANSWER, generator.send(asked)))
            asked = questions.next()
    except StopIteration:
        frames.send(output, (DONE, None))
    except ModuleNotFoundError as error:
        frames.send(output, (MISSING, str(error.name)))
    except (EOFError, MemoryError):
        raise
    except Exception as error:  # of a library, about the file
        frames.send(output, (FAULT, str(error)[:300] or type(error).__name__))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
