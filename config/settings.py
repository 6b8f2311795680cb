"""Every variable that Penstock reads, validated once, in one frozen object.

`current()` reads the environment the first time it is called and never again; invalid values stop the start,
each reported with its name, its value and what is allowed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from config import data_folder, endpoints
from config.endpoints import Endpoint
from config.secret_files import WithFiles
from config.variables import (
    BadSetting,
    BadSettings,
    Network,
    amount,
    api_root,
    broker,
    claude,
    dollars,
    flag,
    hashes,
    hosts,
    load,
    named,
    networks,
    one_of,
    optional_file,
    optional_text,
    optional_url,
    optional_whole,
    origins,
    path,
    redis,
    secret_texts,
    socks_proxies,
    store,
    text,
    url,
    whole,
)

__all__ = ["BadSetting", "Settings", "current", "read"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in the environment. Times are in seconds, sizes in bytes, rates per minute."""

    # SQLite, the embedded broker's files, spooled uploads. Unset: see `data_folder`.
    data: Path = path("PENSTOCK_DATA", str(data_folder.HERE))
    # Empty: a temporary SQLite, which `penstock up` makes for its processes.
    database_url: str = url("DATABASE_URL", ("sqlite", "postgresql", "postgres"))
    # Of DATABASE_URL, which then need not have one in it.
    database_password: str | None = optional_text("DATABASE_PASSWORD")
    # Where rows are stored if `database_url` is not set.
    backend: str = one_of("BATCH_PERSISTENCE_BACKEND", ("memory", "file", "sqlite"))
    sqlite_file: Path = path("BATCH_SQLITE_PATH", "data/batch.db")
    status_folder: Path = path("BATCH_JOB_STORAGE_PATH", "data/batch_jobs")
    # Its database number is the base: broker and limiter take the two after it.
    redis_url: str = redis("REDIS_URL", "redis://127.0.0.1:6379/0")
    redis_password: str | None = optional_text("REDIS_PASSWORD")  # likewise of REDIS_URL
    # For Celery's messages: a Redis database of their own, or RabbitMQ.
    broker_url: str = broker("CELERY_BROKER_URL")
    # Certificates (PEM) by which the server of a rediss:// address is known; None: this machine's.
    redis_tls_ca: Path | None = optional_file("REDIS_TLS_CA")
    # True: everything is in REDIS_URL's own database, under a prefix, for a server that has no others.
    redis_one_database: bool = flag("REDIS_ONE_DATABASE", default=False)
    anthropic_api_key: str | None = optional_text("ANTHROPIC_API_KEY")
    anthropic_base_url: str | None = api_root("ANTHROPIC_BASE_URL")
    openai_api_key: str | None = optional_text("OPENAI_API_KEY")
    openai_base_url: str | None = optional_url("OPENAI_BASE_URL", ("http", "https"))
    # Endpoints that speak as OpenAI does, in the form of config/providers.toml.
    providers_file: Path | None = optional_file("PENSTOCK_PROVIDERS_FILE")
    # Variables of providers' keys that slice workers alone have: other processes take them to be set there.
    worker_keys: frozenset[str] = named("WORKER_KEYS")
    # The operator's own server of `inference:` models.
    inference_url: str | None = optional_url("INFERENCE_URL", ("http", "https"))
    inference_model: str | None = optional_text("INFERENCE_MODEL")  # for inputs that name no model
    default_model: str = text("DEFAULT_MODEL", "claude-haiku-4-5")
    default_max_tokens: int = whole("DEFAULT_MAX_TOKENS", 1024, 1, 1_000_000)
    # The next three are for each model class, over all workers; None: learned.
    claude_requests_per_minute: int | None = optional_whole("CLAUDE_REQUESTS_PER_MINUTE", 1, 1_000_000)
    claude_input_tokens_per_minute: int | None = optional_whole("CLAUDE_INPUT_TOKENS_PER_MINUTE", 1, 10**12)
    claude_output_tokens_per_minute: int | None = optional_whole("CLAUDE_OUTPUT_TOKENS_PER_MINUTE", 1, 10**12)
    # Figures for each model class, in the form of config/limits.toml.
    limits_file: Path | None = optional_file("PENSTOCK_LIMITS_FILE")
    simulated_requests_per_minute: int | None = optional_whole("SIMULATED_REQUESTS_PER_MINUTE", 1, 1_000_000)
    # Of each job over all workers; None: as many as its provider's limits let leave.
    max_concurrent_calls: int | None = optional_whole("BATCH_MAX_CONCURRENT_LLM_CALLS", 1, 100_000)
    # False: no job's provider is asked to keep what its records share.
    prompt_cache: bool = flag("PROMPT_CACHE", default=True)
    # Dollars; override the price list.
    cost_per_1k_input_tokens: Decimal | None = dollars("BATCH_COST_PER_1K_INPUT_TOKENS")
    cost_per_1k_output_tokens: Decimal | None = dollars("BATCH_COST_PER_1K_OUTPUT_TOKENS")
    # Tries after a failure of the record's own: timeout, cut, 500, garbage.
    record_retries: int = whole("BATCH_RECORD_RETRY_COUNT", 1, 0, 20)
    # Calls that one slice has in flight; 1: a job of any size is one chord with one task per record.
    records_per_task: int = whole("RECORDS_PER_TASK", 64, 1, 1_000)
    # Up to this many records a job is one chord with one task per record.
    chord_plain_max: int = whole("CHORD_PLAIN_MAX", 100, 0, 1_000)
    call_deadline: int = whole("CALL_DEADLINE_SECONDS", 600, 1, 3_600)
    grace: int = whole("PENSTOCK_GRACE_SECONDS", 30, 1, 3_600)  # for calls to end after SIGTERM
    # Items of one call of an inference server; this and the next three hold until an operator changes them.
    max_batch_size: int = whole("MAX_BATCH_SIZE", 128, 1, 1_024)
    max_wait_time_ms: int = whole("MAX_WAIT_TIME_MS", 50, 0, 10_000)  # of an item for others
    enable_dynamic_batching: bool = flag("ENABLE_DYNAMIC_BATCHING", default=True)  # False: a call for each
    # False: size and wait are always those two. True: they are at most those, as the server does best.
    enable_adaptive_batching: bool = flag("ENABLE_ADAPTIVE_BATCHING", default=True)
    # Items that wait in the priority queue.
    max_queue_size: int = whole("MAX_QUEUE_SIZE", 10_000, 1, 10_000_000)
    # Batches of the priority queue that run at once.
    max_concurrent_batches: int = whole("MAX_CONCURRENT_BATCHES", 50, 1, 1_000_000)
    # After a job's end its inputs and outputs are kept for so many days.
    keep_days: int = whole("PENSTOCK_KEEP_DAYS", 30, 1, 3_650)
    max_json_bytes: int = whole("MAX_JSON_BYTES", 16_000_000, 1_000, 1_000_000_000)
    max_upload_bytes: int = whole("MAX_UPLOAD_BYTES", 512_000_000, 1_000, 10_000_000_000)
    # Of one document, after decoding its base64.
    max_document_bytes: int = whole("MAX_DOCUMENT_BYTES", 32_000_000, 1_000, 1_000_000_000)
    # Of a JSON request with documents, as it is sent.
    max_request_bytes: int = whole("MAX_REQUEST_BYTES", 256_000_000, 1_000, 10_000_000_000)
    # Of a workbook that is kept for its results to be added to it; those of a larger one are a plain sheet.
    max_workbook_bytes: int = whole("MAX_WORKBOOK_BYTES", 20_000_000, 0, 1_000_000_000)
    max_records: int = whole("MAX_RECORDS", 1_000_000, 1, 100_000_000)
    api_host: str = text("API_HOST", "127.0.0.1")  # that `penstock up` listens on
    api_port: int = whole("API_PORT", 8000, 0, 65_535)
    api_workers: int = whole("API_WORKERS", 1, 1, 64)  # web processes of `penstock up`
    # Where documents are kept: file:///folder or s3://bucket/prefix.
    object_store_url: str = store("OBJECT_STORE_URL")
    # An S3 other than Amazon's.
    s3_endpoint_url: str | None = optional_url("S3_ENDPOINT_URL", ("http", "https"))
    # False: stored documents are not handed off to a parser.
    parse_handoff: bool = flag("PARSE_HANDOFF", default=True)
    # Of a tenant's list of documents to parse: any more wait in rows.
    parse_queue_max: int = whole("PARSE_QUEUE_MAX", 10_000, 1, 100_000_000)
    # False: a call without a key acts for the first tenant.
    require_api_key: bool = flag("REQUIRE_API_KEY", default=True)
    api_keys: frozenset[bytes] = hashes("API_KEYS")  # SHA-256 of further keys of the first tenant
    cors_origins: tuple[str, ...] = origins("CORS_ORIGINS")  # of pages that may call the API from a browser
    # Names of this server that calls without a key may be addressed to, besides this machine's own.
    allowed_hosts: frozenset[str] = hosts("ALLOWED_HOSTS")
    # Whose headers are believed, and whose connections are many clients'.
    trusted_proxies: tuple[Network, ...] = networks("TRUSTED_PROXIES")
    # Encrypt what must be read back: the first one encrypts. None: those of a file in PENSTOCK_DATA.
    secret_keys: tuple[str, ...] = secret_texts("PENSTOCK_SECRET_KEY")
    # That webhooks may be sent to although they are not public, and by http too.
    webhook_networks: tuple[Network, ...] = networks("WEBHOOK_NETWORKS")
    # For which /batch_process waits for the end of its batch.
    batch_process_wait: int = whole("BATCH_PROCESS_WAIT_SECONDS", 300, 0, 3_600)
    max_batch_requests: int = whole("MAX_BATCH_REQUESTS_PER_CALL", 50, 1, 10_000)  # of one /batch_process
    # Calls in flight of one text batch, over all workers.
    batch_ai_concurrency: int = whole("BATCH_AI_CONCURRENCY_LIMIT", 5, 1, 100_000)
    # True: batches of the APIs of others tell no outcome before the last one, as their documents say.
    strict_batch_counts: bool = flag("BATCHES_STRICT_COUNTS", default=False)
    # The model of chat batches that request this provider.
    chat_model_anthropic: str = claude("CHAT_MODEL_ANTHROPIC", "claude-haiku-4-5")
    # Of each web process, equal to gunicorn's --threads; streams take all but 32 of them.
    web_threads: int = whole("PENSTOCK_WEB_THREADS", 256, 40, 10_000)
    # Dollars that a run may cost before `penstock run` asks.
    ask_above: Decimal = amount("PENSTOCK_ASK_ABOVE", "1")
    # The stack that the command line talks to; None: the one on `data`.
    penstock_url: str | None = optional_url("PENSTOCK_URL", ("http", "https"))
    # Its key; None: the one that `penstock up` left on `data`.
    penstock_api_key: str | None = optional_text("PENSTOCK_API_KEY")
    # Where Flower is for a browser; None: the page has no link to it.
    flower_url: str | None = optional_url("FLOWER_URL", ("http", "https"))
    enable_monitoring: bool = flag("ENABLE_MONITORING", default=True)  # False: no metrics are served
    environment: str = one_of("API_ENV", ("development", "production"), "development")
    is_debugged: bool = flag("API_DEBUG", default=False)
    log_level: str = one_of("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = one_of("LOG_FORMAT", ("text", "json"))
    # Where traces go: see `sends_traces`. OpenTelemetry itself reads these and its other variables.
    otlp_endpoint: str | None = optional_text("OTEL_EXPORTER_OTLP_ENDPOINT")
    otlp_traces_endpoint: str | None = optional_text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    otel_traces_exporter: str = text("OTEL_TRACES_EXPORTER", "otlp")
    otel_sdk_disabled: bool = flag("OTEL_SDK_DISABLED", default=False)
    endpoints: tuple[Endpoint, ...] = ()  # of `providers_file` and the shipped one, with their keys

    @property
    def status_files(self) -> Path | None:
        """The folder for the status of each job, written when it ends; None: not written."""
        return self.status_folder if self.backend == "file" else None

    @property
    def handoff_url(self) -> str:
        """Database 0 of REDIS_URL's server, where parsers look for documents, whichever database is ours."""
        return urlunsplit(urlsplit(self.redis_url)._replace(path="/0"))

    @property
    def limiter_url(self) -> str:
        """The database of limiter and events, separate from the broker's."""
        return self.redis_url if self.redis_one_database else _with_database(self.redis_url, 2)

    @property
    def results_url(self) -> str:
        """The database of chord counters, the same as the broker's queues."""
        return self.redis_url if self.redis_one_database else _with_database(self.redis_url, 1)

    @property
    def redis_prefix(self) -> str:
        """Of each key of ours in a database that may hold others' too."""
        return "penstock:" if self.redis_one_database else ""

    @property
    def sends_traces(self) -> bool:
        """Whether the environment names a collector, and does not say that nothing is to be sent to it."""
        named = self.otlp_traces_endpoint or self.otlp_endpoint
        return named is not None and self.otel_traces_exporter == "otlp" and not self.otel_sdk_disabled

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


@cache
def current() -> Settings:
    """The settings of this process, read from its environment once."""
    chosen = read(os.environ)
    if not chosen.database_url:
        wanted = "memory only to `penstock up`, whose processes share it; to a single process sqlite or file"
        raise BadSetting("BATCH_PERSISTENCE_BACKEND", "memory", wanted)
    return chosen


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ` and the files that it names; raises `BadSetting` naming every invalid value."""
    environ = WithFiles(environ)
    values, faults = load(Settings, environ)
    if not environ.get("PENSTOCK_DATA", "").strip():
        values["data"] = data_folder.default(environ)
    faults += socks_proxies(environ)
    given = Settings(**values)
    try:
        given = replace(given, endpoints=endpoints.read(given.providers_file, given.openai_base_url, environ))
    except BadSetting as fault:
        faults.append(fault)
    if given.redis_tls_ca is not None and not given.redis_tls_ca.is_file():
        faults.append(BadSetting("REDIS_TLS_CA", str(given.redis_tls_ca), "a file that exists, in PEM"))
    if given.is_debugged and given.environment == "production":
        faults.append(BadSetting("API_DEBUG", "true", "false where API_ENV is production"))
    if faults:
        raise BadSettings(faults)
    return _completed(given)


def _completed(given: Settings) -> Settings:
    """The settings with defaults that follow from other variables."""
    given = replace(given, redis_url=_with_password(given.redis_url, given.redis_password))
    database_url = _with_password(given.database_url, given.database_password)
    return replace(
        given,
        redis_url=_verified(given.redis_url, given.redis_tls_ca),
        database_url=_driver(database_url or _sqlite(given)),
        broker_url=_verified(given.broker_url or given.results_url, given.redis_tls_ca),
        object_store_url=given.object_store_url or f"file://{given.data / 'blobs'}",
        log_level=given.log_level or ("DEBUG" if given.is_debugged else "INFO"),
        log_format=given.log_format or ("json" if given.environment == "production" else "text"),
    )


def _sqlite(given: Settings) -> str:
    files = {
        "": given.data / "penstock.db",
        "sqlite": given.sqlite_file,
        "file": given.status_folder / "batch.db",
    }
    return "" if given.backend == "memory" else f"sqlite:///{files[given.backend]}"


def _with_password(url: str, password: str | None) -> str:
    """`url` with the password, whatever signs that has; its own one, where there is one, stays."""
    parts = urlsplit(url)
    if not password or not parts.hostname or parts.password:
        return url
    user, at, host = parts.netloc.rpartition("@")
    user = user.removesuffix(":") if at else ""
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def _with_database(url: str, offset: int) -> str:
    """`url` with its Redis database number raised by `offset`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{int(parts.path.strip('/') or 0) + offset}"))


def _verified(url: str, ca: Path | None) -> str:
    """`url` with what Celery and redis-py must be told of TLS: certificates are checked unless it says no.

    Celery has its own names for the levels, and people copy them from its documents.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    query = {"ssl_cert_reqs": "required"} | dict(parse_qsl(parts.query))
    query["ssl_cert_reqs"] = query["ssl_cert_reqs"].lower().removeprefix("cert_")
    if ca is not None:
        query["ssl_ca_certs"] = str(ca)
    return urlunsplit(parts._replace(query=urlencode(query)))


def _driver(url: str) -> str:
    """`url` with the PostgreSQL driver that we ship."""
    scheme, _, rest = url.partition(":")
    return f"postgresql+psycopg:{rest}" if scheme in ("postgres", "postgresql") else url
