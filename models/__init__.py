"""The rows: what is true. Importing this package knows every table."""

from models.base import Base
from models.batching import BatchConfiguration
from models.job import IdempotencyKey, Job, JobCounts, JobSpec, JobStatus, Spend
from models.lease import Lease
from models.limit import LimitGroup
from models.record import Attempt, Record, RecordInput, RecordOutput, RecordStatus, Window
from models.tenant import ApiKey, Tenant, User

__all__ = [
    "ApiKey",
    "Attempt",
    "Base",
    "BatchConfiguration",
    "IdempotencyKey",
    "Job",
    "JobCounts",
    "JobSpec",
    "JobStatus",
    "Lease",
    "LimitGroup",
    "Record",
    "RecordInput",
    "RecordOutput",
    "RecordStatus",
    "Spend",
    "Tenant",
    "User",
    "Window",
]
