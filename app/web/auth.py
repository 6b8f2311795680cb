"""Who is calling, and what their key allows. A route that does not declare who may call it is closed."""

import http
import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import structlog
from flask import Flask, current_app, g, request
from flask_smorest import Blueprint

from app.core.accounts import api_keys
from app.core.accounts.api_keys import Caller
from app.errors import Forbidden, Unauthenticated
from app.web import openapi, strangers
from config import settings
from models.session import in_transaction, reading

log = structlog.get_logger(__name__)

_SCOPES = "\n".join(f"- `{scope}`: {meaning}" for scope, meaning in api_keys.MEANINGS.items())
SECURITY_SCHEMES = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": f"What a key may do depends on its scopes:\n\n{_SCOPES}",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key."},
}
NOBODY = "anonymous"  # the user of calls without a key
SCOPES_OF_NOBODY = frozenset({api_keys.READ, api_keys.WRITE, api_keys.WEBHOOKS})
# Keys of the environment come from whoever runs the system: clients of the batch processor configure it.
SCOPES_OF_ENVIRONMENT = SCOPES_OF_NOBODY | {api_keys.BATCHING}
PUBLIC = "public"  # the scope of what needs no key
NEARBY = [
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
]
# What a scraper, a command line or a browser sends itself. Any other header may be a proxy's own: each vendor
# has names for where a request comes from, and no list of them is ever complete.
DIRECT = re.compile(
    "Host|User-Agent|Accept|Accept-Encoding|Accept-Language|Connection|Keep-Alive|Cache-Control|Pragma"
    "|Content-Length|Content-Type|Authorization|X-API-Key|Cookie|Origin|Referer|DNT|Priority|Sec-.*"
    "|Upgrade-Insecure-Requests|If-None-Match|If-Modified-Since|X-Prometheus-Scrape-Timeout-Seconds",
    re.IGNORECASE,
)

View = TypeVar("View", bound=Callable[..., Any])


def needs(scope: str | None, *refusals: int) -> Callable[[View], View]:
    """Mark a view as requiring a key with `scope`; None: any key.

    `refusals` are the statuses of the errors that it may return besides 401 and 403.
    """
    # OpenAPI 3.1 has scopes for every scheme, as the roles that a caller must have.
    scopes = [] if scope is None else [scope]
    document = Blueprint.doc(
        security=[{name: scopes} for name in SECURITY_SCHEMES], responses=_refused_with(401, 403, *refusals)
    )
    return _marked(scope, document)


def public(*refusals: int) -> Callable[[View], View]:
    """Mark a view as open to callers without a key; `refusals` as in `needs`."""
    return _marked(PUBLIC, Blueprint.doc(security=[], responses=_refused_with(*refusals)))


def needs_from_afar(scope: str) -> Callable[[View], View]:
    """Mark a view as requiring a key with `scope`, except from this machine and its private networks."""

    def mark(view: View) -> View:
        marked = needs(scope)(view)
        marked.is_open_nearby = True  # type: ignore[attr-defined]
        return marked

    return mark


def mark_public(app: Flask, endpoint: str) -> None:
    """Make a library's view public."""
    app.view_functions[endpoint] = public()(app.view_functions[endpoint])


def caller() -> Caller:
    """The tenant and user that the request's key acts for."""
    return cast(Caller, g.caller)


def guard(app: Flask, signed_in: Mapping[str, Callable[[], Caller]]) -> None:
    """Check every request to `app` before any of it is read.

    `signed_in` finds the caller of a blueprint's requests otherwise than by the key in a header.
    """
    if not settings.current().require_api_key:
        log.warning(
            "api_key_not_required",
            why="REQUIRE_API_KEY=false: anyone who can reach this server acts for the first tenant",
        )
    app.before_request(partial(_check, signed_in))


def scope_of(view: Callable[..., Any]) -> str | None:
    """The scope that a view was marked with; raises `LookupError` when it was not marked."""
    if not hasattr(view, "needed_scope"):
        raise LookupError(f"{view.__module__}.{view.__qualname__} does not declare who may call it")
    return cast(str | None, view.needed_scope)


def _refused_with(*statuses: int) -> dict[str, str]:
    """References to responses; their names are Python's, some of which changed between versions."""
    return {str(status): http.HTTPStatus(status).name for status in statuses}


def _marked(scope: str | None, document: Callable[[View], View]) -> Callable[[View], View]:
    def mark(view: View) -> View:
        documented = document(Blueprint.doc(operationId=openapi.operation_id(view))(view))
        documented.needed_scope = scope  # type: ignore[attr-defined]
        return documented

    return mark


def _check(signed_in: Mapping[str, Callable[[], Caller]]) -> None:
    if request.endpoint is None or request.method == "OPTIONS":
        return  # an unknown path or method, or a preflight request: there is nothing to guard
    view = current_app.view_functions[request.endpoint]
    scope = scope_of(view)
    if scope == PUBLIC or (getattr(view, "is_open_nearby", False) and _is_open_to_caller()):
        return
    root = request.blueprints[-1] if request.blueprints else ""
    g.caller = signed_in.get(root, _authenticate)()
    structlog.contextvars.bind_contextvars(tenant=g.caller.tenant, user=g.caller.user)
    if scope is not None and not g.caller.may(scope):
        held = " ".join(sorted(g.caller.scopes))
        raise Forbidden(
            f"this call needs a key with the scope {scope!r}; the key {g.caller.prefix} has {held}"
            f"{_who_gives(scope)}"
        )


def _who_gives(scope: str) -> str:
    """Where a key with a scope over the whole system comes from: no admin of a tenant can create it."""
    if scope not in api_keys.SYSTEM_WIDE:
        return ""
    others = "; the keys in API_KEYS have it, too" if scope in SCOPES_OF_ENVIRONMENT else ""
    return f": create one on the server with `penstock keys create --scopes {scope}`{others}"


def _is_open_to_caller() -> bool:
    """Whether what is open nearby needs no key from this caller; `Forbidden` for somebody else's page."""
    if not _is_nearby():
        return False
    if key_text() is None:
        strangers.check()
    return strangers.is_trusted()


def is_direct() -> bool:
    """Whether nothing in the request's head says that it came through a proxy."""
    return all(DIRECT.fullmatch(name) for name in request.headers.keys())  # noqa: SIM118 - a multidict


def _is_nearby() -> bool:
    """Whether the request comes directly from this machine or a private network.

    The address is the connection's; no header widens access. A request that came through a proxy may come
    from anywhere.
    """
    if not is_direct():
        return False
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:  # such as a Unix socket, with a proxy on the other end
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if any(address in network for network in settings.current().trusted_proxies):
        return False
    return any(address in network for network in NEARBY)


def _authenticate() -> Caller:
    text = key_text()
    return nobody() if text is None else caller_with(text)


def caller_with(text: str) -> Caller:
    """The caller with the key `text`; raises `Unauthenticated`."""
    found = of_environment(api_keys.digest(text))
    if found is None:
        with reading() as session:
            found = api_keys.verify(session, text)
    if found is None:
        raise Unauthenticated(_unknown(text))
    return found


def of_environment(digest: bytes) -> Caller | None:
    """The caller with the key in API_KEYS that has this SHA-256."""
    if digest not in settings.current().api_keys:
        return None
    return _of_first_tenant(f"key-{digest.hex()[:8]}", SCOPES_OF_ENVIRONMENT)


def nobody() -> Caller:
    """The user that a call without a key acts for, where no key is required."""
    if settings.current().require_api_key:
        raise Unauthenticated(
            "the request has no API key: send it as `X-API-Key: pk_…` or `Authorization: Bearer pk_…`;"
            " `penstock keys create` creates one"
        )
    strangers.check()
    return _of_first_tenant(NOBODY, SCOPES_OF_NOBODY)


def _of_first_tenant(user: str, scopes: frozenset[str]) -> Caller:
    with reading() as session:
        found = api_keys.of_first_tenant(session, user, scopes)
    if found is not None:
        return found
    in_transaction(partial(api_keys.join_first_tenant, user=user))
    return _of_first_tenant(user, scopes)


def key_text() -> str | None:
    """The request's key, if it has one."""
    if key := request.headers.get("X-API-Key", "").strip():
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return None


def _unknown(text: str) -> str:
    """Why a key opens nothing, without its secret."""
    prefix = "_".join(text.split("_")[:2])
    if text.startswith("pk_") and len(prefix) <= 20:
        return f"the API key {prefix!r} is unknown or has been revoked: `penstock keys list` lists them"
    return (
        "the API key is unknown: send one of Penstock's (`pk_…`), not a provider's; `penstock keys create`"
        " creates one"
    )
