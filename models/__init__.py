"""The tables, which hold the truth. Importing this package registers them all."""

from models.base import Base
from models.batching import BatchConfiguration
from models.document import AuditEvent, Blob, Handoff
from models.draft import JobDraft
from models.file import File, FileBatch
from models.job import IdempotencyKey, Job, JobCounts, JobSpec, JobStatus, Spend
from models.job_table import JobTable
from models.lease import Lease
from models.limit import LimitGroup
from models.prompt_override import PromptOverride
from models.record import Attempt, Record, RecordInput, RecordOutput, RecordStatus, Window
from models.sweep import Sweep
from models.tenant import ApiKey, BrowserSession, Tenant, User
from models.timeline import JobPoint, JobTime
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookSecret

__all__ = [
    "ApiKey",
    "Attempt",
    "AuditEvent",
    "Base",
    "BatchConfiguration",
    "Blob",
    "BrowserSession",
    "DeliveryStatus",
    "File",
    "FileBatch",
    "Handoff",
    "IdempotencyKey",
    "Job",
    "JobCounts",
    "JobDraft",
    "JobPoint",
    "JobSpec",
    "JobStatus",
    "JobTable",
    "JobTime",
    "Lease",
    "LimitGroup",
    "PromptOverride",
    "Record",
    "RecordInput",
    "RecordOutput",
    "RecordStatus",
    "Spend",
    "Sweep",
    "Tenant",
    "User",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
    "Window",
]
