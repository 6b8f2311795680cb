"""API keys: `pk_<prefix>_<secret>`, shown once, stored as a SHA-256 and found by the prefix."""

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import BadInput, NotFound
from models.base import new_uid, now
from models.tenant import ApiKey, Tenant, User

READ = "jobs:read"
WRITE = "jobs:write"
KEYS = "keys"
LIMITS = "limits"
AUDIT = "audit"
WEBHOOKS = "webhooks"
ADMIN = "admin"
BATCHING = "batching"
METRICS = "metrics"
OPERATOR = "operator"

# What each scope allows, within the tenant of its key. Those in SYSTEM_WIDE act beyond it, or show more.
MEANINGS: Mapping[str, str] = {
    READ: "read jobs, results, usage and limits",
    WRITE: "submit, change, cancel and delete jobs",
    KEYS: "create keys for its own user or a new one, and revoke keys: none with a scope that it lacks",
    LIMITS: "read the limits that its tenant's jobs wait for; it cannot set them",
    AUDIT: "read the audit log",
    WEBHOOKS: "register addresses for webhooks, read their secrets, see and repeat what was sent to them",
    ADMIN: "all of the above for the whole tenant, with keys for any of its users and their chat batches",
    BATCHING: "configure how the batch processor batches, for all tenants",
    METRICS: "read /metrics: figures of all tenants",
    OPERATOR: "set limits and configure batching for all tenants; read the figures of all of them",
}
SCOPES = tuple(MEANINGS)
SYSTEM_WIDE = frozenset({BATCHING, METRICS, OPERATOR})
# No scope of a tenant implies one of the whole system.
IMPLIED: Mapping[str, frozenset[str]] = {
    READ: frozenset({LIMITS}),
    ADMIN: frozenset({READ, WRITE, KEYS, LIMITS, AUDIT, WEBHOOKS}),
    OPERATOR: frozenset({LIMITS, BATCHING, METRICS}),
}

FIRST_TENANT = "default"

MAX_NAME = 200  # characters, of tenants, users and keys
NAMED = 20  # keys of a user that are listed where it is shown

Row = TypeVar("Row", Tenant, User, ApiKey)

_PREFIX_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
_FORM = re.compile(r"(pk_[a-z2-7]{10})_([0-9a-f]{64})")


def allows(held: Iterable[str], scope: str) -> bool:
    """Whether a key with the scopes `held` may do what `scope` allows."""
    return any(scope == each or scope in IMPLIED.get(each, ()) for each in held)


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant and the user that a key acts for, and its scopes."""

    tenant_id: int
    tenant_uid: uuid.UUID
    tenant: str
    user_id: int
    user: str
    prefix: str
    scopes: frozenset[str]
    key_id: int | None  # None: no key, or one of the environment, which is valid until the next start

    def may(self, scope: str) -> bool:
        return allows(self.scopes, scope)


def create(
    session: Session, tenant_name: str, *, name: str, user: str | None = None, scopes: Sequence[str]
) -> tuple[ApiKey, str]:
    """A new key and its text, which cannot be read again. Creates the tenant and the user if they are new.

    Without `user` the key gets a user of its own, named by the key's id.
    """
    prefix = "pk_" + "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(10))
    text = f"{prefix}_{secrets.token_hex(32)}"
    key = _new(session, tenant_name, text, name=name, user=user, scopes=scopes)
    session.add(key)
    session.flush()
    session.refresh(key)  # its time is the database's
    return key, text


@dataclass(frozen=True, slots=True)
class Naming:
    """Identifies a key that was made under a name, by the key of its maker and the name.

    The new key's text is derived from its maker's, which is stored nowhere, and from a salt, which its maker
    does not know: so it can be returned again, and neither the database nor the maker's key alone reveals it.
    """

    maker: str  # the whole text of a key
    name: str

    @property
    def prefix(self) -> str:
        letters = (_PREFIX_LETTERS[byte % 32] for byte in self._mac(b"prefix")[:10])
        return "pk_" + "".join(letters)

    def text(self, salt: bytes) -> str:
        return f"{self.prefix}_{self._mac(b'text' + salt).hex()}"

    def _mac(self, purpose: bytes) -> bytes:
        return hmac.digest(self.maker.encode(), purpose + b"\0" + self.name.encode(), "sha256")


def create_once(
    session: Session,
    tenant_name: str,
    naming: Naming,
    *,
    name: str,
    user: str | None = None,
    scopes: Sequence[str],
) -> tuple[ApiKey, str, bool]:
    """The key that was made under the name, or a new one, see `create`; and whether it is new.

    Raises `BadInput` when the name was given to a key of another kind.
    """
    salt = secrets.token_bytes(32)
    new = _new(session, tenant_name, naming.text(salt), name=name, user=user, scopes=scopes)
    new.salt = salt
    found = _insert(session, new)
    if found is not None:
        session.refresh(found)
        return found, naming.text(salt), True
    earlier = session.scalars(select(ApiKey).where(ApiKey.prefix == naming.prefix)).one()
    own = str(earlier.uid) if user is None else user.strip()
    if (earlier.name, earlier.user.name, earlier.scopes) != (new.name, own, new.scopes):
        raise BadInput(
            f"The Idempotency-Key {naming.name!r} was used for another key: use a new one for another key."
        )
    assert earlier.salt is not None
    return earlier, naming.text(earlier.salt), False


def _new(
    session: Session, tenant_name: str, text: str, *, name: str, user: str | None, scopes: Sequence[str]
) -> ApiKey:
    check_scopes(scopes)
    uid = new_uid()
    tenant = _tenant(session, _checked("tenant", tenant_name))
    owner = _user(session, tenant, str(uid) if user is None else _checked("user_id", user))
    return ApiKey(
        uid=uid,
        tenant_id=tenant.id,
        user_id=owner.id,
        name=_checked("name", name),
        prefix=text.rpartition("_")[0],
        sha256=digest(text),
        scopes=" ".join(scope for scope in SCOPES if scope in scopes),
    )


def verify(session: Session, text: str) -> Caller | None:
    """The caller with the key `text`; None when there is no such key or it was revoked."""
    parts = _FORM.fullmatch(text)
    if parts is None:
        return None
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == parts[1]))
    if key is None or not hmac.compare_digest(key.sha256, digest(text)) or key.revoked_at is not None:
        return None
    return _caller(key)


def find_caller(session: Session, key_id: int) -> Caller | None:
    """The caller with the key of this number; None when it was revoked."""
    key = session.get(ApiKey, key_id)
    return None if key is None or key.revoked_at is not None else _caller(key)


def _caller(key: ApiKey) -> Caller:
    return Caller(
        tenant_id=key.tenant_id,
        tenant_uid=key.tenant.uid,
        tenant=key.tenant.name,
        user_id=key.user_id,
        user=key.user.name,
        prefix=key.prefix,
        scopes=frozenset(key.scopes.split()),
        key_id=key.id,
    )


def is_valid(session: Session, caller: Caller, scope: str) -> bool:
    """Whether the caller's key, checked before, still exists, was not revoked, and has the scope."""
    if caller.key_id is None:
        return caller.may(scope)
    key = session.get(ApiKey, caller.key_id)
    if key is None or key.revoked_at is not None:
        return False
    return allows(key.scopes.split(), scope)


def of_first_tenant(session: Session, user: str, scopes: frozenset[str]) -> Caller | None:
    """A user of the first tenant as a caller, without a stored key; None before `join_first_tenant`."""
    first = select(func.min(Tenant.id)).scalar_subquery()
    found = session.execute(
        select(Tenant, User)
        .join(User, User.tenant_id == Tenant.id)
        .where(Tenant.id == first, User.name == user)
    ).one_or_none()
    if found is None:
        return None
    return Caller(
        tenant_id=found.Tenant.id,
        tenant_uid=found.Tenant.uid,
        tenant=found.Tenant.name,
        user_id=found.User.id,
        user=user,
        prefix=user,
        scopes=scopes,
        key_id=None,
    )


def join_first_tenant(session: Session, user: str) -> None:
    """Create a user of the first tenant, and that tenant if there is none."""
    first = session.scalar(select(Tenant).order_by(Tenant.id).limit(1))
    _user(session, first or _tenant(session, FIRST_TENANT), user)


def list_keys(session: Session, tenant_name: str | None = None) -> list[ApiKey]:
    """The keys of a tenant or of all tenants, oldest first, revoked ones included."""
    statement = select(ApiKey).order_by(ApiKey.id)
    if tenant_name is not None:
        statement = statement.join(ApiKey.tenant).where(Tenant.name == tenant_name)
    return list(session.scalars(statement))


def page(session: Session, tenant_id: int, before: int | None, limit: int) -> Sequence[ApiKey]:
    """Up to `limit` of a tenant's keys, newest first, also revoked ones; those with ids below `before`."""
    statement = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
    if before is not None:
        statement = statement.where(ApiKey.id < before)
    return session.scalars(statement.order_by(ApiKey.id.desc()).limit(limit)).all()


def names_by_user(session: Session, tenant_id: int, users: Collection[str]) -> Mapping[str, list[str]]:
    """The names of the newest `NAMED` keys that act for each of a tenant's users, each name once."""
    place = func.row_number().over(partition_by=ApiKey.user_id, order_by=ApiKey.id.desc())
    numbered = (
        select(User.name.label("user"), ApiKey.name, place.label("place"))
        .join(User, User.id == ApiKey.user_id)
        .where(ApiKey.tenant_id == tenant_id, User.name.in_(users))
        .subquery()
    )
    rows = session.execute(
        select(numbered.c.user, numbered.c.name)
        .where(numbered.c.place <= NAMED)
        .order_by(numbered.c.user, numbered.c.place)
    )
    found: dict[str, dict[str, None]] = {user: {} for user in users}
    for user, name in rows:
        found[user][name] = None
    return {user: list(names) for user, names in found.items()}


def find(session: Session, tenant_id: int, uid: str) -> ApiKey:
    """A tenant's key by its id; raises `NotFound`."""
    try:
        key = session.scalar(
            select(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.uid == uuid.UUID(uid))
        )
    except ValueError:
        key = None
    if key is None:
        raise NotFound(f"there is no key {uid!r}: GET /api/v1/keys lists them")
    return key


def revoke(session: Session, prefix: str) -> tuple[ApiKey, bool]:
    """Refuse the key from now on; raises `NotFound`. The second value is False if it was revoked before."""
    key = session.scalar(select(ApiKey).where(ApiKey.prefix == prefix))
    if key is None:
        raise NotFound(f"there is no key with the prefix {prefix!r}: `penstock keys list` lists them")
    valid = ApiKey.id == key.id, ApiKey.revoked_at.is_(None)
    revoked = session.execute(update(ApiKey).where(*valid).values(revoked_at=now()).returning(ApiKey.id))
    is_new = revoked.one_or_none() is not None
    session.refresh(key)
    return key, is_new


def check_scopes(scopes: Iterable[str]) -> None:
    """Raise `BadInput` unless there is at least one scope and all of them are known."""
    wanted = set(scopes)
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        found = ", ".join(unknown) or "none"
        raise BadInput(f"scopes: found {found}; give one or more of {', '.join(SCOPES)}")


def _checked(field: str, value: str) -> str:
    value = value.strip()
    if not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise BadInput(f"{field}: give 1 to {MAX_NAME} printable characters")
    return value


def _tenant(session: Session, name: str) -> Tenant:
    wanted = select(Tenant).where(Tenant.name == name)
    return session.scalar(wanted) or _insert(session, Tenant(name=name)) or session.scalars(wanted).one()


def _user(session: Session, tenant: Tenant, name: str) -> User:
    wanted = select(User).where(User.tenant_id == tenant.id, User.name == name)
    new = User(tenant_id=tenant.id, name=name)
    return session.scalar(wanted) or _insert(session, new) or session.scalars(wanted).one()


def _insert(session: Session, row: Row) -> Row | None:
    """Insert `row`; None when another transaction has inserted the same one meanwhile."""
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return None
    return row


def digest(text: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(text.encode()).digest()
