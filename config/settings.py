"""Every variable that Penstock reads, checked once, in one frozen object.

`current()` reads the environment the first time it is asked and never again; a value that cannot be used
stops the start with its name, what was found and what would do.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

BACKEND = "BATCH_PERSISTENCE_BACKEND"


class BadSetting(ValueError):
    """A variable of the environment cannot be used.

    The one error that does not stand in `app/errors.py`: this package imports nothing of the application.
    """

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: give {wanted}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Times are seconds, sizes bytes, rates a minute."""

    data: Path  # SQLite, the embedded broker's files, spooled uploads
    database_url: str  # empty: a temporary SQLite, which `penstock up` makes for its processes
    status_files: Path | None  # where the status of each job is written when it ends; None: nowhere
    redis_url: str  # its database number is the base: broker and limiter take the two after it
    broker_url: str  # where Celery's messages go: a Redis database of their own, or RabbitMQ
    anthropic_api_key: str | None
    anthropic_base_url: str | None
    inference_url: str | None  # the server of `inference:` models, the operator's own
    inference_model: str | None  # for inputs that name no model
    default_model: str
    default_max_tokens: int
    claude_requests_per_minute: int | None  # of each model class, over all workers; None: learned
    claude_input_tokens_per_minute: int | None  # the same
    claude_output_tokens_per_minute: int | None
    limits_file: Path | None  # figures for each model class, in the form of config/limits.toml
    simulated_requests_per_minute: int | None
    max_concurrent_calls: int | None  # of each job over all workers; None: 5, and no bound for `simulated`
    cost_per_1k_input_tokens: Decimal | None  # dollars; instead of the price list's
    cost_per_1k_output_tokens: Decimal | None
    record_retries: int  # tries after a failure of the record's own: timeout, cut, 500, garbage
    records_per_task: int  # what one slice holds in flight; 1: one chord of one task a record, at any size
    chord_plain_max: int  # up to this many records a job is one chord of one task a record
    call_deadline: int
    grace: int  # how long calls may take to end after SIGTERM
    max_batch_size: int  # items of one call of an inference server, until it is configured otherwise
    max_wait_time_ms: int  # that such an item waits for others, the same
    enable_dynamic_batching: bool  # the same
    max_queue_size: int  # items that wait in the priority queue
    max_concurrent_batches: int  # of the priority queue that run at once
    keep_days: int  # inputs and outputs are deleted that long after the end
    max_json_bytes: int
    max_upload_bytes: int
    max_document_bytes: int  # of one document, as bytes and not as the base64 that it comes in
    max_request_bytes: int  # of a JSON request with documents, as it is sent
    max_records: int
    api_host: str  # that `penstock up` listens on
    api_port: int
    api_workers: int  # web processes of `penstock up`
    object_store_url: str  # where documents are kept: file:///folder or s3://bucket/prefix
    s3_endpoint_url: str | None  # another S3 than Amazon's
    parse_handoff: bool  # False: documents that were stored are told to nobody
    parse_queue_max: int  # of a tenant's list of documents to parse: what is more waits in rows
    require_api_key: bool  # False: a call without a key acts for the first tenant
    api_keys: frozenset[bytes]  # SHA-256 of further keys of the first tenant
    cors_origins: tuple[str, ...]  # whose pages may call the API from a browser
    batch_process_wait: int  # seconds that /batch_process waits for the end of its batch
    max_batch_requests: int  # of one /batch_process
    batch_ai_concurrency: int  # calls in flight of one text batch, over all workers
    chat_model_anthropic: str  # of chat batches that ask for this provider
    web_threads: int  # of each web process, as gunicorn's --threads says; streams take all but 32 of them
    penstock_url: str | None  # the stack that the command line talks to; None: the one on `data`
    penstock_api_key: str | None  # its key; None: the one that `penstock up` left on `data`
    enable_monitoring: bool  # False: no metrics are told
    log_level: str
    log_format: str  # `text` or `json`

    @property
    def handoff_url(self) -> str:
        """Database 0 of REDIS_URL's server, where others look for documents, whichever it names for us."""
        return urlunsplit(urlsplit(self.redis_url)._replace(path="/0"))

    @property
    def limiter_url(self) -> str:
        """Limiter and events, apart from the broker's database."""
        return _with_database(self.redis_url, 2)

    @property
    def results_url(self) -> str:
        """Chord counters: beside the broker's queues."""
        return _with_database(self.redis_url, 1)

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


@cache
def current() -> Settings:
    """The settings of this process, read from its environment once."""
    chosen = read(os.environ)
    if not chosen.database_url:
        wanted = "memory to `penstock up`, whose processes share it; to a process by itself sqlite or file"
        raise BadSetting(BACKEND, "memory", wanted)
    return chosen


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ`; raises `BadSetting` for the first value that cannot be used."""
    env = _Environment(environ)
    data = Path(env.text("PENSTOCK_DATA", "data")).resolve()
    redis_url = env.url("REDIS_URL", "redis://127.0.0.1:6379/0", ("redis", "rediss"))
    return Settings(
        data=data,
        database_url=_driver(
            env.url("DATABASE_URL", _sqlite(env, data), ("sqlite", "postgresql", "postgres"))
        ),
        status_files=_status_files(env) if _backend(env) == "file" else None,
        redis_url=redis_url,
        broker_url=env.url(
            "CELERY_BROKER_URL", _with_database(redis_url, 1), ("redis", "rediss", "amqp", "amqps")
        ),
        anthropic_api_key=env.text("ANTHROPIC_API_KEY", "") or None,
        anthropic_base_url=env.url("ANTHROPIC_BASE_URL", "", ("http", "https")) or None,
        inference_url=env.url("INFERENCE_URL", "", ("http", "https")) or None,
        inference_model=env.text("INFERENCE_MODEL", "") or None,
        default_model=env.text("DEFAULT_MODEL", "claude-haiku-4-5"),
        default_max_tokens=env.number("DEFAULT_MAX_TOKENS", 1024, 1, 1_000_000),
        claude_requests_per_minute=env.optional("CLAUDE_REQUESTS_PER_MINUTE", 1, 1_000_000),
        claude_input_tokens_per_minute=env.optional("CLAUDE_INPUT_TOKENS_PER_MINUTE", 1, 10**12),
        claude_output_tokens_per_minute=env.optional("CLAUDE_OUTPUT_TOKENS_PER_MINUTE", 1, 10**12),
        limits_file=_path(env.text("PENSTOCK_LIMITS_FILE", "")),
        simulated_requests_per_minute=env.optional("SIMULATED_REQUESTS_PER_MINUTE", 1, 1_000_000),
        max_concurrent_calls=env.optional("BATCH_MAX_CONCURRENT_LLM_CALLS", 1, 100_000),
        cost_per_1k_input_tokens=env.dollars("BATCH_COST_PER_1K_INPUT_TOKENS"),
        cost_per_1k_output_tokens=env.dollars("BATCH_COST_PER_1K_OUTPUT_TOKENS"),
        record_retries=env.number("BATCH_RECORD_RETRY_COUNT", 1, 0, 20),
        records_per_task=env.number("RECORDS_PER_TASK", 64, 1, 1_000),
        chord_plain_max=env.number("CHORD_PLAIN_MAX", 100, 0, 1_000),
        call_deadline=env.number("CALL_DEADLINE_SECONDS", 600, 1, 3_600),
        grace=env.number("PENSTOCK_GRACE_SECONDS", 30, 1, 3_600),
        max_batch_size=env.number("MAX_BATCH_SIZE", 128, 1, 1_024),
        max_wait_time_ms=env.number("MAX_WAIT_TIME_MS", 50, 0, 10_000),
        enable_dynamic_batching=env.flag("ENABLE_DYNAMIC_BATCHING", default=True),
        max_queue_size=env.number("MAX_QUEUE_SIZE", 10_000, 1, 10_000_000),
        max_concurrent_batches=env.number("MAX_CONCURRENT_BATCHES", 50, 1, 1_000_000),
        keep_days=env.number("PENSTOCK_KEEP_DAYS", 30, 1, 3_650),
        max_json_bytes=env.number("MAX_JSON_BYTES", 16_000_000, 1_000, 1_000_000_000),
        max_upload_bytes=env.number("MAX_UPLOAD_BYTES", 512_000_000, 1_000, 10_000_000_000),
        max_document_bytes=env.number("MAX_DOCUMENT_BYTES", 32_000_000, 1_000, 1_000_000_000),
        max_request_bytes=env.number("MAX_REQUEST_BYTES", 256_000_000, 1_000, 10_000_000_000),
        max_records=env.number("MAX_RECORDS", 1_000_000, 1, 100_000_000),
        api_host=env.text("API_HOST", "127.0.0.1"),
        api_port=env.number("API_PORT", 8000, 0, 65_535),
        api_workers=env.number("API_WORKERS", 1, 1, 64),
        object_store_url=env.store("OBJECT_STORE_URL", f"file://{data / 'blobs'}"),
        s3_endpoint_url=env.url("S3_ENDPOINT_URL", "", ("http", "https")) or None,
        parse_handoff=env.flag("PARSE_HANDOFF", default=True),
        parse_queue_max=env.number("PARSE_QUEUE_MAX", 10_000, 1, 100_000_000),
        require_api_key=env.flag("REQUIRE_API_KEY", default=True),
        api_keys=frozenset(hashlib.sha256(key.encode()).digest() for key in env.items("API_KEYS")),
        cors_origins=env.origins("CORS_ORIGINS"),
        batch_process_wait=env.number("BATCH_PROCESS_WAIT_SECONDS", 300, 0, 3_600),
        max_batch_requests=env.number("MAX_BATCH_REQUESTS_PER_CALL", 50, 1, 10_000),
        batch_ai_concurrency=env.number("BATCH_AI_CONCURRENCY_LIMIT", 5, 1, 100_000),
        chat_model_anthropic=env.claude("CHAT_MODEL_ANTHROPIC", "claude-haiku-4-5"),
        web_threads=env.number("PENSTOCK_WEB_THREADS", 256, 40, 10_000),
        penstock_url=env.url("PENSTOCK_URL", "", ("http", "https")) or None,
        penstock_api_key=env.text("PENSTOCK_API_KEY", "") or None,
        enable_monitoring=env.flag("ENABLE_MONITORING", default=True),
        log_level=env.one_of(
            "LOG_LEVEL", "DEBUG" if _is_debugged(env) else "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")
        ),
        log_format=env.one_of("LOG_FORMAT", "json" if _is_production(env) else "text", ("text", "json")),
    )


class _Environment:
    """Reads one variable at a time; an empty value counts as unset, as it does in an .env file."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._get: Callable[[str], str] = lambda name: environ.get(name, "").strip()

    def text(self, name: str, default: str) -> str:
        return self._get(name) or default

    def claude(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if not value.startswith("claude"):
            raise BadSetting(name, value, "a model of Anthropic's, whose name starts with 'claude'")
        return value

    def number(self, name: str, default: int, low: int, high: int) -> int:
        found = self.optional(name, low, high)
        return default if found is None else found

    def optional(self, name: str, low: int, high: int) -> int | None:
        value = self._get(name)
        if not value:
            return None
        try:
            number = int(value)
        except ValueError:
            raise BadSetting(name, value, f"a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise BadSetting(name, value, f"a whole number from {low} to {high}")
        return number

    def dollars(self, name: str) -> Decimal | None:
        """Dollars for 1,000 tokens, to a whole number of pico-dollars a token."""
        value = self._get(name)
        if not value:
            return None
        wanted = "dollars, such as 0.003: 0 to 1,000 with up to nine decimal places"
        try:
            amount = Decimal(value)
        except InvalidOperation:
            raise BadSetting(name, value, wanted) from None
        if not amount.is_finite() or not 0 <= amount <= 1000 or amount != round(amount, 9):
            raise BadSetting(name, value, wanted)
        return amount

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._get(name)
        if value.lower() in ("true", "1", "yes", "on"):
            return True
        if value.lower() in ("false", "0", "no", "off"):
            return False
        if value:
            raise BadSetting(name, value, "true or false")
        return default

    def items(self, name: str) -> list[str]:
        """What stands between commas."""
        return [item.strip() for item in self._get(name).split(",") if item.strip()]

    def origins(self, name: str) -> tuple[str, ...]:
        found = tuple(item.rstrip("/") for item in self.items(name))
        for origin in found:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
                raise BadSetting(name, origin, "origins between commas, such as https://app.example.com")
        return found

    def store(self, name: str, default: str) -> str:
        """`file://` with a whole path, or `s3://` with a bucket."""
        value = self.url(name, default, ("file", "s3"))
        parts = urlsplit(value)
        named = parts.netloc if parts.scheme == "s3" else not parts.netloc and parts.path.startswith("/")
        if not named or parts.query or parts.fragment:
            raise BadSetting(name, value, "file:///a/folder or s3://bucket/prefix")
        return value

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self._get(name)
        for candidate in allowed:
            if value.lower() == candidate.lower():
                return candidate
        if value:
            raise BadSetting(name, value, "one of " + ", ".join(allowed))
        return default

    def url(self, name: str, default: str, schemes: tuple[str, ...]) -> str:
        value = self._get(name) or default
        if value and urlsplit(value).scheme.split("+")[0] not in schemes:
            raise BadSetting(
                name,
                _without_password(value),
                "an address that starts with " + " or ".join(f"{s}://" for s in schemes),
            )
        return value


def _is_production(env: _Environment) -> bool:
    return env.one_of("API_ENV", "development", ("development", "production")) == "production"


def _is_debugged(env: _Environment) -> bool:
    """Whether everything is logged; raises `BadSetting` in production."""
    debugged = env.flag("API_DEBUG", default=False)
    if debugged and _is_production(env):
        raise BadSetting("API_DEBUG", "true", "false where API_ENV is production")
    return debugged


def _backend(env: _Environment) -> str:
    """How rows are kept where DATABASE_URL does not say where."""
    return env.one_of(BACKEND, "", ("memory", "file", "sqlite"))


def _sqlite(env: _Environment, data: Path) -> str:
    paths = {
        "": data / "penstock.db",
        "sqlite": Path(env.text("BATCH_SQLITE_PATH", "data/batch.db")).resolve(),
        "file": _status_files(env) / "batch.db",
    }
    backend = _backend(env)
    return "" if backend == "memory" else f"sqlite:///{paths[backend]}"


def _status_files(env: _Environment) -> Path:
    return Path(env.text("BATCH_JOB_STORAGE_PATH", "data/batch_jobs")).resolve()


def _path(text: str) -> Path | None:
    return Path(text).resolve() if text else None


def _with_database(url: str, offset: int) -> str:
    """`url` with its Redis database number raised by `offset`."""
    parts = urlsplit(url)
    base = parts.path.strip("/") or "0"
    if not base.isdigit():
        raise BadSetting(
            "REDIS_URL", _without_password(url), "redis://host:port/0, its path a database number"
        )
    return urlunsplit(parts._replace(path=f"/{int(base) + offset}"))


def _driver(url: str) -> str:
    """Name the PostgreSQL driver that we ship."""
    scheme, _, rest = url.partition(":")
    return f"postgresql+psycopg:{rest}" if scheme in ("postgres", "postgresql") else url


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@")
