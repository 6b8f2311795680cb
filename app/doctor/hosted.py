"""What hosted services and networks do: TLS, few databases, connections that are forgotten, proxies."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from app.core.limits import redis_client
from app.doctor.finding import Finding, ok, warning
from app.providers import refusals, registry, transport
from config import settings
from config.settings import Settings
from tasks.celery import app

SUBJECTS = ("tls", "databases", "forgotten connections", "proxies")
REMEDY = "see Configuration in the README"
HERE = ("localhost", "127.0.0.1", "::1")


def look() -> Iterator[Finding]:
    chosen = settings.current()
    yield _tls(chosen)
    yield _databases(chosen)
    yield _forgotten()
    yield _proxies(chosen)


def _tls(chosen: Settings) -> Finding:
    parts = urlsplit(chosen.redis_url)
    place = f"{parts.hostname}:{parts.port or 6379}"
    if parts.scheme != "rediss":
        text = f"none: what is sent to the Redis at {place} is not encrypted"
        if chosen.redis_tls_ca is None:
            return ok("tls", f"{text}; an address with rediss:// is")
        return warning("tls", f"{text}, though REDIS_TLS_CA is set", "write rediss:// in REDIS_URL")
    if parse_qs(parts.query)["ssl_cert_reqs"] != ["required"]:
        text = f"REDIS_URL lets any server be the Redis at {place}: its certificate is not checked"
        return warning("tls", text, "leave out ssl_cert_reqs, and set REDIS_TLS_CA if the host has one")
    known = f"REDIS_TLS_CA ({chosen.redis_tls_ca})" if chosen.redis_tls_ca else "this machine's authorities"
    return ok("tls", f"the Redis at {place} is known by {known}")


def _databases(chosen: Settings) -> Finding:
    """Whether the server has them is found where broker and limiter are examined."""
    if chosen.redis_one_database:
        text = f"all is kept in database {_number(chosen.redis_url)}, under the prefix {chosen.redis_prefix}"
        return ok("databases", f"{text} (REDIS_ONE_DATABASE)")
    parts = {"broker": chosen.results_url, "limiter": chosen.limiter_url, "hand-off": chosen.handoff_url}
    text = ", ".join(f"{part} {_number(url)}" for part, url in parts.items())
    return ok("databases", f"of the server in REDIS_URL: {text}")


def _number(url: str) -> str:
    return urlsplit(url).path.strip("/") or "0"


def _forgotten() -> Finding:
    """Connections of which one side, or the network between, knows nothing any more."""
    options = app.conf.broker_transport_options
    within = 2 * options["health_check_interval"] + 1
    return ok(
        "forgotten connections",
        f"given up after {redis_client.ANSWER} s by the limiter, {options['socket_timeout']} s by who sends"
        f" messages and {within} s by who waits for them",
    )


def _proxies(chosen: Settings) -> Finding:
    address = chosen.anthropic_base_url or registry.PUBLIC_URL
    proxy = transport.proxy_of(address)
    where = refusals.visible(address)
    if proxy is None:
        return ok("proxies", f"{where} is called directly: no proxy of the environment is for it")
    text = f"{where} is called through {refusals.visible(proxy)} (HTTPS_PROXY, HTTP_PROXY or ALL_PROXY)"
    host = urlsplit(address).hostname
    if host in HERE:
        return warning("proxies", f"{text}, which cannot reach this machine", f"add {host} to NO_PROXY")
    return ok("proxies", text)
