"""Options that take a number or `none`, of commands that set several things at once."""

from collections.abc import Mapping
from typing import Any

import click

NONE = "none"


class Amount(click.ParamType[int | None]):
    """A whole number of records, bytes, calls or tokens, or `none`."""

    name = "N|none"

    def get_metavar(self, param: Any, ctx: Any) -> str:
        return self.name  # as it is typed: click's own is in capitals

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        if value == NONE:
            return None
        if not str(value).isdigit() or not 0 < int(value) < 10**15:
            self.fail(f"{value!r} is neither a whole number above 0 nor {NONE!r}", param, ctx)
        return int(value)


class Dollars(click.ParamType[int | None]):
    """Dollars, or `none`; pico-dollars internally."""

    name = "USD|none"

    def get_metavar(self, param: Any, ctx: Any) -> str:
        return self.name

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        from app.core.money import pricing

        if value == NONE:
            return None
        try:
            return pricing.pico(str(value))
        except ValueError:
            self.fail(f"{value!r} is neither an amount in dollars such as 2.50 nor {NONE!r}", param, ctx)


def given(values: Mapping[str, int | None], what: str) -> dict[str, int | None]:
    """Those that were typed, as `none` is a value, too; raises `UsageError` when there is none."""
    context = click.get_current_context()
    typed = {
        option: value
        for option, value in values.items()
        if context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE
    }
    if not typed:
        raise click.UsageError(f"give at least one {what} to set")
    return typed
