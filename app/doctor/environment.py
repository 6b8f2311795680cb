"""Settings that are each valid but do not go together."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from app.doctor.finding import Finding, ok, warning, wrong
from app.errors import BadInput
from app.providers import registry
from config import settings
from config.settings import BadSetting, Settings

SUBJECTS = ("settings",)
REMEDY = "see Configuration in the README"
HERE = ("localhost", "127.0.0.1", "::1")


def look() -> Iterator[Finding]:
    chosen = settings.current()
    complaints = [*_models(chosen), *_inputs(chosen), *_prices(chosen), *_places(chosen)]
    yield from complaints or [ok("settings", "no contradictions")]


def _models(chosen: Settings) -> Iterator[Finding]:
    try:
        lacks = registry.of(chosen.default_model).lacks(chosen)
        registry.refuse_misspelt(chosen.default_model, chosen)
        figures = registry.configured(registry.limit_group(chosen.default_model), chosen)
    except (BadInput, BadSetting) as fault:
        yield wrong("settings", str(fault), "correct DEFAULT_MODEL or PENSTOCK_LIMITS_FILE")
        return
    if lacks is not None:
        model = chosen.default_model
        text = f"{lacks.state}: jobs that name no model use {model}, and are rejected"
        remedy = f"{lacks.remedy}, or DEFAULT_MODEL=simulated for invented answers"
        yield warning("settings", text, remedy)
    if figures.output_tokens is not None and chosen.default_max_tokens > figures.output_tokens:
        text = (
            f"DEFAULT_MAX_TOKENS is {chosen.default_max_tokens:,}, but {chosen.default_model} is limited to"
            f" {figures.output_tokens:,} output tokens per minute: no call to it fits"
        )
        yield wrong("settings", text, "lower it, or raise CLAUDE_OUTPUT_TOKENS_PER_MINUTE")
    elsewhere = chosen.worker_keys
    if chosen.openai_base_url and not chosen.openai_api_key and "OPENAI_API_KEY" not in elsewhere:
        text = "OPENAI_BASE_URL is set but OPENAI_API_KEY is not"
        yield warning("settings", text, "set the key too (any word, for a server that takes none)")
    if chosen.anthropic_base_url and not chosen.anthropic_api_key and "ANTHROPIC_API_KEY" not in elsewhere:
        text = "ANTHROPIC_BASE_URL is set but ANTHROPIC_API_KEY is not"
        yield warning("settings", text, "set the key too: no call is made without it")


def _inputs(chosen: Settings) -> Iterator[Finding]:
    if chosen.inference_model and not chosen.inference_url:
        text = "INFERENCE_MODEL is set but INFERENCE_URL is not: inputs are rejected"
        yield warning("settings", text, "set both, or neither: then `simulated` invents the outputs")


def _prices(chosen: Settings) -> Iterator[Finding]:
    if (chosen.cost_per_1k_input_tokens is None) is not (chosen.cost_per_1k_output_tokens is None):
        text = "only one of BATCH_COST_PER_1K_INPUT_TOKENS and BATCH_COST_PER_1K_OUTPUT_TOKENS is set"
        yield warning("settings", text, "set both, or models outside the price list stay without a price")


def _places(chosen: Settings) -> Iterator[Finding]:
    if chosen.broker_url == chosen.limiter_url and not chosen.redis_one_database:
        text = (
            "CELERY_BROKER_URL names the Redis database that the limiter uses: the second after REDIS_URL's"
        )
        yield wrong("settings", text, "use another database in CELERY_BROKER_URL, or leave it unset")
    if chosen.is_sqlite and urlsplit(chosen.redis_url).hostname not in HERE:
        text = "the database is SQLite on this machine, but Redis is on another one"
        yield warning("settings", text, "workers elsewhere need PostgreSQL in DATABASE_URL")
    if chosen.penstock_url and not chosen.penstock_api_key:
        text = "PENSTOCK_URL is set but PENSTOCK_API_KEY is not"
        yield warning(
            "settings", text, "set both: `penstock run`, `estimate` and `jobs` need a key of that stack"
        )
