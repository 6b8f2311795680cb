"""What of a job's input is going to be read from its provider's cache, for its quote."""

from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.money.calibration import SAME_REQUEST, Calibration, Mix
from app.core.requests import shared_part
from app.core.requests.prompt_cache.priming import LEAST_RECORDS, NOT_KEPT
from app.ingest.draft import Defaults
from app.ingest.tally import Tally
from config import settings
from models.job import Job

READ, WRITTEN = "cache_read_tokens", ("cache_write_5m_tokens", "cache_write_1h_tokens")


def calibrated(session: Session, calibration: Calibration, defaults: Defaults, tally: Tally) -> Calibration:
    """The calibration with the cache as this job uses it: one record writes to it, and all others read that.

    How many answers of an earlier job had read from it says little: that one had fewer records, or others.
    """
    cached = _cached(session, calibration, defaults, tally)
    if cached is None:
        return calibration
    first = 1 / max(1, tally.count)
    shares = {
        "input_tokens": 1.0 - cached,
        READ: cached * (1.0 - first),
        WRITTEN[0]: cached * first,
    }
    return replace(calibration, mix=Mix(shares, calibration.mix.searches))


def _cached(session: Session, calibration: Calibration, defaults: Defaults, tally: Tally) -> float | None:
    """The share of the input that all records have in common, 0 where it is not kept.

    None: the history tells what is, as the records say themselves what is to be kept.
    """
    is_same = calibration.same == SAME_REQUEST
    shared = shared_part.kept(defaults, wanted=is_wanted(defaults))
    shares = calibration.mix.shares
    seen = shares.get(READ, 0.0) + sum(shares.get(kind, 0.0) for kind in WRITTEN)
    if shared is None or tally.count < LEAST_RECORDS:
        return None if is_same or not seen else 0.0
    if not is_same:
        return _of_bytes(shared.size, tally)
    if _was_not_kept(session, calibration):
        return 0.0
    return seen or _of_bytes(shared.size, tally)


def is_wanted(defaults: Defaults) -> bool:
    """Whether its provider is asked to keep what the job's records share."""
    return settings.current().prompt_cache and defaults.prompt_cache is not False


def _of_bytes(shared: int, tally: Tally) -> float:
    return min(1.0, shared * tally.count / tally.content_bytes)


def _was_not_kept(session: Session, calibration: Calibration) -> bool:
    return session.scalar(select(Job.keep).where(Job.uid == calibration.job)) == NOT_KEPT
