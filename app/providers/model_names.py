"""What a misspelt name of a model of Claude was meant to be.

A name that the price list lacks may belong to a model that is newer than the list, so only what is clearly a
listed model written another way, or a word that no model has but one nearly has, counts as misspelt.
"""

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from functools import cache

from config import price_list

MOST = 4  # names that are suggested
ALIKE = 0.7  # of two words, as `difflib` measures it: `hiaku` and `haiku` are 0.8
MAKER = frozenset({"anthropic", "claude"})  # words that tell no two models apart
AS_A_WHOLE = frozenset({"inference", "simulated", "unbilled"})  # what the list prices so

_PARTS = re.compile(r"[a-z]+|\d+")
_DATE = re.compile(r"-?\d{8}$")


def is_listed(model: str) -> bool:
    """Whether the price list has the model of Claude, by its name or by its name and a date."""
    return model in _listed() or _DATE.sub("", model) in _listed()


def is_misspelt(model: str) -> bool:
    """Whether it is a listed name written another way, has a mistyped word, or lacks the version."""
    if is_listed(model):
        return False
    meant = [_meant(word) for word in _words(model)]
    is_mistyped = any(its not in (None, word) for its, word in zip(meant, _words(model), strict=True))
    return bool(_same(model)) or is_mistyped or (any(meant) and not _numbers(model))


def suggestions(model: str) -> Sequence[str]:
    """The names that `model` may have been meant to be, the likeliest first; none if nothing is like it."""
    if same := _same(model):
        return same
    wanted = {_meant(word) for word in _words(model)} - {None}
    if not wanted:
        return ()
    family = [name for name in _current() if wanted <= set(_words(name))]
    numbers = _numbers(model)
    return sorted(family, key=lambda name: _distance(_numbers(name), numbers))[:MOST]


def did_you_mean(names: Sequence[str]) -> str:
    """The end of a sentence that suggests `names`, of which there is one at least."""
    *most, last = map(repr, names)
    others = f"{', '.join(most)} or " if most else ""
    return f": did you mean {others}{last}?"


def _same(model: str) -> Sequence[str]:
    """The listed model with the same words and numbers, in whatever order and however they are separated."""
    parts = _key(model)
    return [name for name in _listed() if parts and _key(name) == parts][:1]


def _distance(has: Sequence[str], wanted: Sequence[str]) -> int:
    """How far a version is from the one that was given: it is that one, begins like it, or does not."""
    if has == wanted:
        return 0
    return 1 if has[: len(wanted)] == wanted else 2


def _key(model: str) -> Sequence[str]:
    return sorted(set(_words(model))) + _numbers(model)


def _words(model: str) -> Sequence[str]:
    return [part for part in _parts(model) if not part.isdigit() and part not in MAKER]


def _numbers(model: str) -> list[str]:
    return [part for part in _parts(model) if part.isdigit()]


def _parts(model: str) -> Sequence[str]:
    return _PARTS.findall(_DATE.sub("", model.lower()))


def _meant(word: str) -> str | None:
    """The word of a listed model that this one is, or nearly is."""
    return next(iter(get_close_matches(word, _known_words(), n=1, cutoff=ALIKE)), None)


def _known_words() -> Collection[str]:
    return {word for name in _listed() for word in _words(name)}


def _current() -> Sequence[str]:
    return [name for name in _listed() if not price_list.is_retired(name)]


@cache
def _listed() -> Sequence[str]:
    return [name for name in price_list.models() if name.startswith("claude")]
