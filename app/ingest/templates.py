"""Prompt templates: Jinja2 reduced to what a prompt needs and what cannot blow up.

A template uses columns (`{{ review }}`), columns whose names are not identifiers (`{{ row["Review text"] }}`,
with `row` for the whole row), parts of structured cells (`{{ address.city }}`, `{{ tags[0] }}`) and the
filters of `template_filters`, and may branch with `{% if rating|int > 3 %}`. Anything else is rejected before
it runs: Jinja's own sandbox allows `{{ 'ab' * 300000000 }}`, and multiplies while it compiles.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from app.errors import BadInput
from app.ingest import template_filters
from app.ingest.template_hints import absent_columns, long_name
from app.ingest.values import as_text, byte_size, is_plain, to_json

MAX_TEMPLATE_BYTES = 1_000_000
MAX_OUTPUT_BYTES = 1_000_000
MAX_DEPTH = 40  # of nested expressions and conditions; Jinja and Python recurse over them
MAX_TAGS = 1_000  # `{{` and `{%`: Jinja takes 0.1 ms to compile each
MAX_TOKENS = 20_000  # names, operators, comments, spaces and texts: Jinja takes 10 microseconds to parse each
MAX_DIGITS = 10_000  # of a number: Jinja takes 200 bytes to recognise each
MAX_NODES = 10_000  # of the parsed template
MAX_WORK = 4_000_000  # characters that filters and comparisons process for one prompt: 40 ms of a loop

WHOLE_ROW = "row"

_DIGITS = re.compile(r"0[xX][0-9A-Fa-f_]+|[0-9][0-9_]*")

_TAKEN = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.Keyword,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)

_WORDS: tuple[tuple[type[nodes.Node], str], ...] = (
    (nodes.For, "a loop"),
    (nodes.Call, "a call"),
    (nodes.Concat, "joining with ~"),
    (nodes.BinExpr, "arithmetic"),
    (nodes.UnaryExpr, "arithmetic"),
    (nodes.Test, "an `is` test"),
    (nodes.Slice, "a slice"),
    (nodes.Assign, "{% set %}"),
    (nodes.AssignBlock, "{% set %}"),
    (nodes.Include, "{% include %}"),
    (nodes.Extends, "{% extends %}"),
    (nodes.Import, "{% import %}"),
    (nodes.FromImport, "{% import %}"),
    (nodes.Macro, "{% macro %}"),
    (nodes.CallBlock, "{% call %}"),
    (nodes.FilterBlock, "{% filter %}"),
    (nodes.With, "{% with %}"),
    (nodes.Block, "{% block %}"),
    (nodes.List, "a list"),
    (nodes.Tuple, "a tuple"),
    (nodes.Dict, "a dictionary"),
)


class Template:
    """A template that was checked and compiled; created by `compile_template`.

    `variables` are the columns that it uses, as `{{ name }}` or as `{{ row["name"] }}`. A row must have all
    of them, except those with a `default`.
    """

    def __init__(self, source: str, tree: nodes.Template, check: "_Check") -> None:
        self.source = source
        self.variables = frozenset(check.named)
        self._needed = frozenset(check.needed)
        self.takes_whole_row = check.takes_whole_row
        self._compiled = _ENVIRONMENT.from_string(_metered_comparisons(tree))

    def render(self, row: Mapping[str, Any]) -> str:
        """The prompt for `row`; raises `BadInput` if it cannot be rendered or is over 1,000,000 bytes."""
        if not self._needed <= row.keys():
            raise BadInput(absent_columns(self._needed - row.keys(), row))
        try:
            return _join(self._compiled.root_render_func(self._compiled.new_context(self._names(row))))
        except BadInput:
            raise
        except Exception as error:
            # A cell that does not fit the template, in any of the ways in which Python reports it.
            raise BadInput(f"the template does not fit this row: {_told(error)}") from error

    def used(self, columns: Sequence[str]) -> list[str]:
        """Those of a table's columns that it looks at."""
        return [column for column in columns if self.takes_whole_row or column in self.variables]

    def needs(self, column: str) -> bool:
        """Whether it says nothing itself of what is asked where a cell of the column is empty."""
        return column in self._needed or column not in self.variables

    def _names(self, row: Mapping[str, Any]) -> dict[str, Any]:
        names = row if self.takes_whole_row else [name for name in self.variables if name in row]
        cells = {name: _filled(row[name]) for name in names}
        return {**cells, WHOLE_ROW: cells}


def compile_template(source: str) -> Template:
    """Check and compile `source`; raises `BadInput` naming the rejected construct and its line."""
    _check_source(source)
    try:
        _check_length(source)
        tree = _ENVIRONMENT.parse(source)
        return Template(source, tree, _Check(tree))
    except TemplateSyntaxError as error:
        message = f"the template, line {error.lineno}: {error.message}{long_name(source)}"
        raise BadInput(message) from None
    except BadInput as error:
        raise BadInput(error.message + long_name(source)) from None
    except (RecursionError, MemoryError, SyntaxError):
        raise BadInput("the template is nested too deeply") from None
    except (TemplateError, ValueError, TypeError) as error:
        # Jinja parses numbers, and evaluates constants, while it parses and compiles.
        raise BadInput(f"the template: {_told(error)}") from None


class _Check:
    """Visits a parsed template, allows only what is listed, and collects the columns.

    `needed` are the columns that the template cannot do without, because they have no `default`.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self.named: set[str] = set()
        self.needed: set[str] = set()
        self.takes_whole_row = False
        self._nodes = 0
        self._walk(tree, MAX_DEPTH, needed=True)

    def _walk(self, node: nodes.Node, depth: int, *, needed: bool) -> None:
        self._count(node, depth)
        if not isinstance(node, _TAKEN):
            raise _refused(node, next((word for kind, word in _WORDS if isinstance(node, kind)), "this"))
        if isinstance(node, nodes.Filter):
            _check_filter(node)
            needed = node.name not in template_filters.FOR_ABSENT
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
            raise _refused(node, "a subscript that is not a constant")
        if (column := _column(node)) is not None:
            self._note(column, needed=needed)
            return
        if isinstance(node, nodes.Name):
            self._take_name(node, needed=needed)
        for child in node.iter_child_nodes():
            self._walk(child, depth - 1, needed=needed)

    def _count(self, node: nodes.Node, depth: int) -> None:
        self._nodes += 1
        if depth == 0:
            raise BadInput(f"the template, line {node.lineno}: nested over {MAX_DEPTH} deep")
        if self._nodes > MAX_NODES:
            raise BadInput(f"the template has over {MAX_NODES:,} parts: make it simpler")

    def _take_name(self, node: nodes.Name, *, needed: bool) -> None:
        if node.name == "self":  # Jinja's own name
            raise BadInput(f'the template, line {node.lineno}: write {{{{ row["self"] }}}} for this column')
        if node.name == WHOLE_ROW:
            self.takes_whole_row = True
        else:
            self._note(node.name, needed=needed)

    def _note(self, column: str, *, needed: bool) -> None:
        self.named.add(column)
        if needed:
            self.needed.add(column)


def _column(node: nodes.Node) -> str | None:
    """The column in `row["…"]` or `row.…`."""
    if not isinstance(node, nodes.Getitem | nodes.Getattr):
        return None
    if not isinstance(node.node, nodes.Name) or node.node.name != WHOLE_ROW:
        return None
    return node.attr if isinstance(node, nodes.Getattr) else str(node.arg.as_const())


def _check_filter(node: nodes.Filter) -> None:
    known = template_filters.ALL.get(node.name)
    if known is None:
        raise _refused(node, f"the filter {node.name}")
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise _refused(node, "an unpacked argument")
    arguments = [*node.args, *(keyword.value for keyword in node.kwargs)]
    if not all(isinstance(argument, nodes.Const) for argument in arguments):
        raise _refused(node, "a filter argument that is not a constant")
    try:
        inspect.signature(known).bind(None, *node.args, **{str(keyword.key): None for keyword in node.kwargs})
    except TypeError as error:
        raise BadInput(f"the template, line {node.lineno}: the filter {node.name}: {error}") from None


def _refused(node: nodes.Node, what: str) -> BadInput:
    return BadInput(
        f"the template, line {node.lineno}: {what} is not allowed. A template may use columns, their parts,"
        f" {{% if %}} and the filters {', '.join(sorted(template_filters.ALL))}"
    )


def _check_source(source: str) -> None:
    if byte_size(source) > MAX_TEMPLATE_BYTES:
        raise BadInput(f"the template has {byte_size(source):,} bytes; the limit is {MAX_TEMPLATE_BYTES:,}")
    if not is_plain(source):
        raise BadInput("the template must be plain text, without NUL and unpaired surrogates")
    tags = source.count("{{") + source.count("{%")
    if tags > MAX_TAGS:
        raise BadInput(f"the template has {tags:,} tags; the limit is {MAX_TAGS:,}")


def _check_length(source: str) -> None:
    """Raise `BadInput` for a template that takes too long to parse: what the parser reads is counted."""
    if any(len(digits[0]) > MAX_DIGITS for digits in _DIGITS.finditer(source)):
        raise BadInput(f"the template has a number of over {MAX_DIGITS:,} digits")
    tokens = _ENVIRONMENT.lexer.tokeniter(source, None)
    if next(islice(tokens, MAX_TOKENS, None), None) is not None:
        raise BadInput(f"the template has over {MAX_TOKENS:,} words, operators and comments: make it simpler")


def _told(error: Exception) -> str:
    message = str(error)[:300]  # Python puts the cell itself into some of its errors
    hint = " (cells of a CSV are strings: `|int` converts them)" if isinstance(error, TypeError) else ""
    return message + hint


def _filled(cell: Any) -> Any:
    return "" if cell is None else cell


def _join(parts: Iterable[str]) -> str:
    taken = []
    room = MAX_OUTPUT_BYTES
    for part in parts:
        taken.append(part)
        room -= len(part)
        if room < 0:
            raise _too_long()
    text = "".join(taken)
    if byte_size(text) > MAX_OUTPUT_BYTES:
        raise _too_long()
    return text


def _too_long() -> BadInput:
    return BadInput(
        f"the prompt is over {MAX_OUTPUT_BYTES:,} bytes: shorten the template or the cell, as in {{{{"
        " review|truncate(10000) }}"
    )


class _Metered(Context):
    """The names of one rendering, and how much work it may still do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = MAX_WORK

    def charge(self, value: Any) -> None:
        if isinstance(value, str):
            self._room -= len(value)
        elif isinstance(value, list | dict):
            self._room -= len(to_json(value))
        if self._room < 0:
            raise BadInput(
                f"filters and comparisons process over {MAX_WORK:,} characters of this row: shorten the cell"
                " first, as in {{ review|truncate(10000) }}, or simplify the template"
            )


def _metered(work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose input is charged: twenty `title`s on a large cell block a process for a second."""

    @pass_context
    @wraps(work)
    def metered(context: _Metered, value: Any, *args: Any, **kwargs: Any) -> Any:
        context.charge(value)
        return work(value, *args, **kwargs)

    return metered


COMPARED = "compared"  # our own filter, which no template can name because it is not on the list


def _metered_comparisons(tree: nodes.Template) -> nodes.Template:
    for comparison in tree.find_all(nodes.Compare):
        comparison.expr = _charged(comparison.expr)
        for operand in comparison.ops:
            operand.expr = _charged(operand.expr)
    return tree


def _charged(operand: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(operand, COMPARED, [], [], None, None, lineno=operand.lineno)


class _Environment(ImmutableSandboxedEnvironment):
    """Only names and items of JSON values: attributes of Python objects are never looked up."""

    context_class = _Metered

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Undefined):
            obj._fail_with_undefined_error()
        if isinstance(obj, Mapping) and argument in obj:
            return _filled(obj[argument])
        if isinstance(obj, list | str) and isinstance(argument, int) and argument < len(obj):
            return obj[argument]
        return self.undefined(f"there is no {argument!r} in it", obj, argument)


_ENVIRONMENT = _Environment(
    undefined=StrictUndefined, autoescape=False, finalize=as_text, keep_trailing_newline=True
)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.tests.clear()
_ENVIRONMENT.filters = {name: _metered(work) for name, work in template_filters.ALL.items()}
_ENVIRONMENT.filters[COMPARED] = _metered(lambda value: value)
