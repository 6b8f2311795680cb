"""What the page leads to, by the scopes of the key that signed in."""

from dataclasses import dataclass

from app.core.accounts import api_keys
from app.core.accounts.api_keys import Caller
from config import settings


@dataclass(frozen=True, slots=True)
class Place:
    """A link of the navigation; `path` is that of everything below it."""

    title: str
    path: str
    scope: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another program."""

    title: str
    url: str


PLACES = (
    Place("New job", "/ui/new", api_keys.WRITE),
    Place("Jobs", "/ui/jobs", api_keys.READ),
    Place("Limits", "/ui/limits", api_keys.LIMITS),
    Place("Usage", "/ui/usage", api_keys.READ),
    Place("Keys", "/ui/keys", api_keys.KEYS),
    Place("Webhooks", "/ui/webhooks", api_keys.WEBHOOKS),
    Place("Prompts", "/ui/prompts", api_keys.WRITE),
)


def links() -> list[Link]:
    """What else there is to look at, where it is known where."""
    flower = settings.current().flower_url
    return [] if flower is None else [Link("Flower", flower)]


def places(caller: Caller) -> list[Place]:
    """The places that the caller may see."""
    return [place for place in PLACES if caller.may(place.scope)]


def current(path: str) -> str | None:
    """The path of the place that a page belongs to."""
    return next((place.path for place in PLACES if f"{path}/".startswith(f"{place.path}/")), None)
