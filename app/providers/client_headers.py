"""What a caller's own client says in headers, and its provider is told with each call. Pure."""

import re
from collections.abc import Iterable

from app.errors import BadRequest

BETA, PROFILE = "anthropic-beta", "anthropic-user-profile-id"
PASSED_ON = ("anthropic-version", BETA, PROFILE)

_OF_BATCHES = re.compile(r"message-batches-[0-9-]+")  # a beta of batches, and not of their requests
_VISIBLE = re.compile(r"[\x20-\x7e]{1,2000}")


def passed_on(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those of a request's headers that go to the provider, by lower-case names.

    Raises `BadRequest` for one that no request could carry.
    """
    values: dict[str, list[str]] = {name: [] for name in PASSED_ON}
    for name, value in headers:
        if name.lower() in values:
            values[name.lower()].append(value)
    found = {name: ", ".join(several).strip() for name, several in values.items()}
    betas = (beta.strip() for beta in found[BETA].split(","))
    found[BETA] = ",".join(beta for beta in betas if beta and not _OF_BATCHES.fullmatch(beta))
    for name, value in found.items():
        if value and not _VISIBLE.fullmatch(value):
            raise BadRequest(
                f"{name}: give visible ASCII characters, at most 2,000; found {len(value):,}: {value[:40]!r}"
            )
    return {name: value for name, value in found.items() if value}
