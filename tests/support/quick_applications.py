"""Applications that are made quickly, since each test makes one of its own.

The addresses of its routes are compiled when one is first built: an application has hundreds, which is two
thirds of its cost, and a test asks for a few. What its pages are compiled to is kept by this process.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule

Build = Callable[..., tuple[str, str]]


class LateRule(Rule):
    """A rule that compiles nothing until it has to."""

    def _compile_builder(self, append_unknown: bool = True) -> Build:
        compiled = cache(super()._compile_builder)

        def build(rule: Rule, **values: Any) -> tuple[str, str]:
            return compiled(append_unknown)(rule, **values)

        return build


class KeptPages(BytecodeCache):
    """The bytecode of templates by their name and source."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        kept = self._pages.get((bucket.key, bucket.checksum))
        if kept is not None:
            bucket.bytecode_from_string(kept)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._pages[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


def install() -> None:
    """Applications that this process makes from now on are quick."""
    Flask.url_rule_class = LateRule
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": KeptPages()}
