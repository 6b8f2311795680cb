"""How this process stands, for `app.core.measures.sharing`."""

from functools import partial

import psutil
from sqlalchemy.pool import QueuePool

from app.core.measures.sharing import Sharer, Standing
from app.core.monitoring import memory_bound
from models.session import engine


def share(role: str) -> Sharer:
    """Tell from now on what this process counts and how it stands; stop it before the process ends."""
    return Sharer(partial(_standing, role, psutil.Process()))


def _standing(role: str, process: psutil.Process) -> Standing:
    pool = engine().pool
    assert isinstance(pool, QueuePool)  # what `models.session` makes
    return Standing(
        role=role,
        memory=process.memory_info().rss,
        in_use=pool.checkedout(),
        open=pool.checkedin() + pool.checkedout(),
        most=pool.size() + pool._max_overflow,
        memory_use=memory_bound.use(memory_bound.group_of_this_process()),
    )
