"""Why a Redis that answers cannot be used as the settings say, in a sentence with the variable to mend."""

import ssl
from urllib.parse import SplitResult, urlsplit

import redis

TOO_FEW = (
    "the server of REDIS_URL has no database {number}: set REDIS_ONE_DATABASE=true, so that all is kept in"
    " the one that REDIS_URL names, or use a server with the two databases after it"
)
UNKNOWN = (
    "the certificate of the Redis at {place} is not known on this machine ({reason}): put the certificates of"
    " its host's authority into a PEM file, and name that in REDIS_TLS_CA"
)
ANOTHERS = (
    "the certificate of the Redis at {place} is for another name ({reason}): write the name that its host"
    " gives for it into REDIS_URL"
)
NO_CERTIFICATES = "the file that REDIS_TLS_CA names has no certificates in PEM ({reason})"
NOT_LET_IN = (
    "the Redis at {place} does not accept the user and password of its address: correct them in REDIS_URL (or"
    " CELERY_BROKER_URL)"
)
HOSTNAME_MISMATCH = (62, 64)  # OpenSSL's codes, for names and for addresses


def of(url: str, error: redis.RedisError) -> str | None:
    """What `error`, from a first command to `url`, says of the settings; None where it says nothing of them.

    A server that is away, or still loading its file, may be right when it is back.
    """
    parts = urlsplit(url)
    cause = error.__context__
    if isinstance(error, redis.AuthenticationError):
        return NOT_LET_IN.format(place=_place(parts))
    if isinstance(error, redis.ResponseError) and "out of range" in str(error):
        return TOO_FEW.format(number=parts.path.strip("/"))
    if isinstance(cause, ssl.SSLCertVerificationError):
        told = ANOTHERS if cause.verify_code in HOSTNAME_MISMATCH else UNKNOWN
        return told.format(place=_place(parts), reason=cause.verify_message.rstrip("."))
    if isinstance(cause, ssl.SSLError) and cause.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
        return NO_CERTIFICATES.format(reason=cause.reason)
    return None


def _place(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or 6379}"
