"""Values in files: NAME_FILE names the file that holds the value of NAME, as secrets reach a container.

A file is there for the process that reads it; what is in the environment, all of its children have, too, and
whatever describes the container shows.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from config.variables import BadSetting

ENDING = "_FILE"
LARGEST = 65_536  # bytes; no value is that long


class WithFiles(Mapping[str, str]):
    """An environment whose variables may be in files. What is set in it itself is not looked for in a file.

    A file is read when its variable is asked for: others' variables may end alike, and hold other things.
    Raises `BadSetting` where it cannot be read.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files = {
            name.removesuffix(ENDING): Path(file.strip())
            for name, file in environ.items()
            if name.endswith(ENDING) and file.strip()
        }

    def __getitem__(self, name: str) -> str:
        own = self._environ.get(name, "")
        if own.strip() or name not in self._files:
            return own if own else self._environ[name]
        return _content(name + ENDING, self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def is_given(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable has a value, itself or in its file."""
    return bool(WithFiles(environ).get(name, "").strip())


def provide(name: str, environ: MutableMapping[str, str]) -> None:
    """Set a variable to what its file holds, for a library that knows the variable alone."""
    if value := WithFiles(environ).get(name):
        environ[name] = value


def _content(name: str, file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise BadSetting(name, str(file), f"a file of at most {LARGEST:,} bytes")
        return content.decode("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BadSetting(name, str(file), f"a file that can be read, with the value in it ({why})") from None
