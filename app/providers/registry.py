"""The table of providers: the models that each answers, its requirements and its limits. Pure facts.

No SDK is imported here; `app.providers.factory` makes the client of a row.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import NoReturn

from app.errors import BadInput
from app.providers import classes, model_names
from app.providers.client import RateLimits
from config import price_list
from config.endpoints import Endpoint
from config.settings import Settings, current

PUBLIC_URL = "https://api.anthropic.com"  # of Claude, unless ANTHROPIC_BASE_URL is set
NOBODY = "none"  # model, provider and limit group of a job whose records make no calls
UNBILLED = "unbilled"  # the price list's name for what an endpoint serves that does not bill
UNLIMITED = RateLimits()
LIST = "GET /api/v1/models lists all names and prices."
# A gateway may have names of its own.
PRICE_IT = (
    "If a gateway knows it by this name, set its price: BATCH_COST_PER_1K_INPUT_TOKENS and"
    " BATCH_COST_PER_1K_OUTPUT_TOKENS."
)


@dataclass(frozen=True, slots=True)
class Need:
    """A variable that must be set where Penstock runs before a provider can be used."""

    variable: str
    value: Callable[[Settings], str | None]
    sentence: str  # follows the name of a model or of the provider while it is not set

    @property
    def state(self) -> str:
        """What is missing, in words that stand alone."""
        return f"{self.variable} is not set"

    @property
    def remedy(self) -> str:
        return f"set {self.variable}"


@dataclass(frozen=True, slots=True)
class Package(Need):
    """A package that must be installed; `variable` is its extra."""

    @property
    def state(self) -> str:
        return f"{self.variable} is not installed"

    @property
    def remedy(self) -> str:
        return f"run pip install '{self.variable}'"


@dataclass(frozen=True, slots=True)
class Provider:
    """A row of the table. Endpoints that speak one protocol are rows with the same `client`."""

    name: str
    models: re.Pattern[str]  # every name that it answers
    called: str  # those names, in words
    client: str  # the key of its client's maker in `factory.MAKERS`
    need: Need | None = None
    package: Package | None = None  # that it needs besides
    address_variable: str | None = None  # of the environment: where it is asked
    patterns: tuple[str, ...] = ()  # of its models, where other rows may have some that fit, too
    class_of_all: str | None = None  # the class of all its models
    prefix: str = ""  # of our names for its models, before its own
    is_paid: bool = False  # its tokens are billed
    takes_messages: bool = True
    takes_inputs: bool = False  # its records may be tensors (`input`)
    takes_whole_requests: bool = False  # its records may be requests for a path of an OpenAI-compatible API
    counts_tokens_together: bool = False  # its limit of input tokens counts those of answers and caches, too
    keeps_what_is_marked: bool = False  # a request says what of it is kept for the next ones: `cache_control`
    takes_schema_subset: bool = False  # it refuses a schema with words that it does not know
    requires_properties: bool = False  # it enforces a schema only if objects require all that they name
    by_class: bool = False  # models of one class share limits, else each has its own
    configured: Callable[[Settings], RateLimits] = lambda _: UNLIMITED  # of each group, by the environment
    assumed: RateLimits = UNLIMITED  # of each group, until its answers show its limits
    # Of a job that came through a contract whose document promises a bound, unless the environment sets it.
    # None: any number.
    promised_concurrency: int | None = None

    @property
    def is_free_endpoint(self) -> bool:
        """Whether it serves models that may cost something elsewhere."""
        return self.client == "openai" and not self.is_paid

    @property
    def key_variable(self) -> str | None:
        """The variable of its key, or of whatever else it needs."""
        return None if self.need is None else self.need.variable

    def lacks(self, settings: Settings) -> Need | None:
        """The need that is not met here, nor said to be met where calls are made; None: it can be used."""
        needs = [need for need in (self.need, self.package) if need is not None]
        needs = [need for need in needs if need.variable not in settings.worker_keys]
        return next((need for need in needs if not need.value(settings)), None)

    def served_name(self, model: str) -> str:
        """The provider's own name for `model`."""
        return model.removeprefix(self.prefix)

    def limit_group(self, model: str) -> str:
        """The group of models that share limits with `model`; it begins with the provider's name."""
        if not self.by_class:
            return model
        return f"{self.name}:{self.class_of_all or classes.class_of(self.served_name(model)).name}"


ANTHROPIC = Provider(
    name="anthropic",
    models=re.compile(r"claude.*", re.DOTALL),
    patterns=("claude*",),
    called="a name that starts with 'claude'",
    client="anthropic",
    need=Need(
        "ANTHROPIC_API_KEY",
        lambda settings: settings.anthropic_api_key,
        "needs a key: set ANTHROPIC_API_KEY where Penstock runs",
    ),
    address_variable="ANTHROPIC_BASE_URL",
    is_paid=True,
    keeps_what_is_marked=True,
    takes_schema_subset=True,
    by_class=True,
    configured=lambda settings: RateLimits(
        requests=settings.claude_requests_per_minute,
        input_tokens=settings.claude_input_tokens_per_minute,
        output_tokens=settings.claude_output_tokens_per_minute,
    ),
    assumed=RateLimits(requests=50),  # of every account
    promised_concurrency=5,
)

INFERENCE = Provider(
    name="inference",
    models=re.compile(r"inference:[A-Za-z0-9][A-Za-z0-9._-]{0,127}"),  # it becomes a part of addresses
    called="'inference:' and the name of a model of the inference server",
    client="inference",
    need=Need(
        "INFERENCE_URL",
        lambda settings: settings.inference_url,
        "needs an inference server: set INFERENCE_URL where Penstock runs",
    ),
    address_variable="INFERENCE_URL",
    prefix="inference:",
    takes_messages=False,
    takes_inputs=True,
)

SIMULATED = Provider(
    name="simulated",
    models=re.compile(r"simulated"),
    called="'simulated' for invented answers",
    client="simulated",
    takes_inputs=True,
    takes_whole_requests=True,
    configured=lambda settings: RateLimits(requests=settings.simulated_requests_per_minute),
)

# The provider of documents that are only stored: it has a name, and can never be called.
_NOBODY = Provider(name=NOBODY, models=re.compile(NOBODY), called="", client="")

SDK = "openai"  # that every endpoint's client needs
_SDK = Package(
    "penstock[openai]",
    lambda _: SDK if find_spec(SDK) is not None else None,
    "needs the package openai: run pip install 'penstock[openai]' where Penstock runs",
)


def _of_endpoint(endpoint: Endpoint) -> Provider:
    key, need = endpoint.key, None
    if key is not None:
        sentence = f"needs a key: set {key} where Penstock runs"
        need = Need(key, partial(_key_of, endpoint.name), sentence)
    return Provider(
        name=endpoint.name,
        models=_fitting(endpoint.models),
        called=f"a name like {endpoint.models[0]!r}",
        client="openai",
        takes_schema_subset=True,
        requires_properties=True,
        need=need,
        package=_SDK,
        address_variable=endpoint.address_variable,
        patterns=endpoint.models,
        prefix=endpoint.prefix,
        is_paid=endpoint.bills,
        takes_whole_requests=True,
        counts_tokens_together=True,
        by_class=True,
        class_of_all=endpoint.limit_class,
        configured=lambda _: RateLimits(
            requests=endpoint.requests_per_minute,
            input_tokens=endpoint.tokens_per_minute,
            concurrent=endpoint.max_concurrent_calls,
        ),
        assumed=RateLimits(requests=endpoint.assumed_requests_per_minute),
        promised_concurrency=5 if endpoint.bills else None,
    )


def _fitting(patterns: Sequence[str]) -> re.Pattern[str]:
    """What the names that fit one of the patterns match."""
    parts = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile("|".join(parts), re.DOTALL)


def _key_of(name: str, settings: Settings) -> str | None:
    return next((one.key_value for one in settings.endpoints if one.name == name), None)


def table(settings: Settings | None = None) -> Mapping[str, Provider]:
    """The rows by name; with those of this process's own settings unless others are given."""
    return _table((settings or current()).endpoints)


@lru_cache(maxsize=8)
def _table(endpoints: tuple[Endpoint, ...]) -> Mapping[str, Provider]:
    rows = (*map(_of_endpoint, endpoints), ANTHROPIC, INFERENCE, SIMULATED)
    return {row.name: row for row in rows}


def find(model: str) -> Provider | None:
    """The provider that answers `model`, if there is one."""
    return _find(model, current().endpoints)


@lru_cache(maxsize=4096)
def _find(model: str, endpoints: tuple[Endpoint, ...]) -> Provider | None:
    """The row with the closest pattern; of equals an operator's, which come first."""
    for row in (SIMULATED, INFERENCE, _NOBODY):
        if row.models.fullmatch(model):
            return row
    fitting = [row for row in _table(endpoints).values() if row.models.fullmatch(model)]
    return max(fitting, key=lambda row: _closeness(row, model), default=None)


def _closeness(row: Provider, model: str) -> int:
    """How many characters of the name a row's patterns say."""
    return max(len(one.replace("*", "")) for one in row.patterns if _fitting((one,)).fullmatch(model))


def of(model: str) -> Provider:
    """The provider that answers `model`; raises `BadInput` when none does."""
    provider = find(model)
    if provider is None:
        raise BadInput(_unknown(model))
    return provider


def _unknown(model: str) -> str:
    """What is said of a name that no provider answers."""
    names = [*model_names.suggestions(model), *_close_to_ours(model)]
    if names:
        return f"model {model!r} is not known{model_names.did_you_mean(names)} {LIST}"
    *most, last = (row.called for row in table().values())
    return f"model {model!r} is not known: give {', '.join(most)}, or {last}. {LIST}"


def _close_to_ours(model: str) -> list[str]:
    """Names outside the price list that are nearly this one."""
    names = [name for name in price_list.models() if name not in model_names.AS_A_WHOLE]
    others = (name for name in names if not name.startswith("claude"))
    return get_close_matches(model.lower(), (SIMULATED.name, *others), n=model_names.MOST, cutoff=0.8)


def ready(settings: Settings) -> list[Provider]:
    """The providers that can be used on this machine."""
    return [row for row in table(settings).values() if row.lacks(settings) is None]


def require(model: str, settings: Settings, field: str | None = None) -> None:
    """Raise `BadInput` when the provider of `model` cannot be used on this machine.

    `field` is where a request of this kind names its model, if it can.
    """
    if model == NOBODY:
        raise BadInput("model 'none' is for documents that are only stored: name one that answers")
    provider = of(model)
    refuse_misspelt(model, settings, field)
    lacks = provider.lacks(settings)
    if lacks is None:
        return
    ways = [] if provider.takes_inputs else _ways_to_simulate(model, settings, field)
    invented = f"; for invented answers without one, {' or '.join(ways)}" if ways else ""
    _refuse(f"model {model!r} {lacks.sentence}{invented}", field)


def _refuse(message: str, field: str | None) -> NoReturn:
    if field is None:
        raise BadInput(message)
    raise BadInput(message, [{"where": field, "message": message}], paths=[("body", *field.split("."))])


def real_by_default(settings: Settings) -> Provider:
    """Who answers, for real, a request that names no model: Claude, unless the default is another's."""
    provider = find(settings.default_model)
    return ANTHROPIC if provider is None or provider is SIMULATED else provider


def needed_by_default(settings: Settings) -> str:
    """The variable that such a request needs."""
    need = real_by_default(settings).need or ANTHROPIC.need
    assert need is not None
    return need.variable


def _is_priced_by_hand(settings: Settings) -> bool:
    """Whether whoever runs this machine has given every model a price: then any name may be meant."""
    return settings.cost_per_1k_input_tokens is not None and settings.cost_per_1k_output_tokens is not None


def refuse_misspelt(model: str, settings: Settings, field: str | None = None) -> None:
    """Raise `BadInput` for a name that is clearly a mistake; see `require`.

    Without this, the provider refuses each call, or a gateway answers at a price that nobody knows.
    """
    provider = find(model)
    if provider is not ANTHROPIC or not model_names.is_misspelt(model):
        return
    if not _is_priced_by_hand(settings):
        _refuse(f"{_unknown(model)} {PRICE_IT}", field)


def _ways_to_simulate(model: str, settings: Settings, field: str | None) -> list[str]:
    """How a caller who asked for `model`, and the operator, can have the model `simulated` answer instead."""
    ways = [] if field is None else [f"give {SIMULATED.name!r} as `{field}`"]
    if model == settings.default_model:
        ways.append(f"set DEFAULT_MODEL={SIMULATED.name} there")
    return ways


# --- limit groups: models that share a provider's limits, such as `anthropic:sonnet-4`


def limit_group(model: str) -> str:
    """The limit group of `model`."""
    return of(model).limit_group(model)


def is_group(group: str) -> bool:
    """Whether this is the name of a group, even if no job has used it."""
    provider = table().get(group.partition(":")[0])
    if provider is None:
        return False
    if provider.by_class:
        return _class_in(group) == provider.class_of_all or classes.is_known(_class_in(group))
    return group == provider.name and provider.models.fullmatch(group) is not None


def configured(group: str, settings: Settings) -> RateLimits:
    """The limits that an operator set for a group, by its class in the file, else by the environment."""
    provider, own = _of_group(group), classes.named(_class_in(group))
    general = provider.configured(settings)
    figures = RateLimits(
        requests=own.requests_per_minute or general.requests,
        input_tokens=own.input_tokens_per_minute or general.input_tokens,
        output_tokens=own.output_tokens_per_minute or general.output_tokens,
        concurrent=own.max_concurrent_calls or general.concurrent,
    )
    return figures if provider.takes_messages else replace(figures, input_tokens=None, output_tokens=None)


def assumed(group: str) -> RateLimits:
    """The limits of a group for which none were set or learned."""
    return _of_group(group).assumed


def cache_reads_count(group: str) -> bool:
    """Whether tokens read from the cache count toward the group's input limit."""
    return classes.named(_class_in(group)).cache_reads_count


def counts_tokens_together(group: str) -> bool:
    """Whether the group's limit of input tokens counts every token of a call."""
    return _of_group(group).counts_tokens_together


def max_concurrent_calls(group: str, settings: Settings) -> int | None:
    """How many calls of one job may be in flight, over all workers; None: as many as its limits let leave.

    Items for an inference server do not count: they have no calls of their own.
    """
    return settings.max_concurrent_calls if _of_group(group).takes_messages else None


def promised_concurrency(model: str, settings: Settings) -> int | None:
    """The same of a job that came through another team's contract, whose document names a default."""
    provider = of(model)
    bound = max_concurrent_calls(provider.limit_group(model), settings)
    return provider.promised_concurrency if bound is None else bound


def _of_group(group: str) -> Provider:
    """The provider of a group; the one named `none` if the table no longer has it."""
    return table().get(group.partition(":")[0]) or _NOBODY


def _class_in(group: str) -> str:
    return group.partition(":")[2]
