"""Schemathesis over the contract: what its document allows is sent, and a little of what it does not."""

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.reading.job_json import PREFIX
from tests.support.furnished_tenant import OPERATION, Furnished

SEED = os.environ.get("SCHEMATHESIS_SEED", "20261127")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})
GROUP = "anthropic:sonnet-4"  # of limits; that of the jobs stays as it is
NOTHING = "00000000-0000-7000-8000-000000000000"  # an id that nothing has

# Left out: `positive_data_acceptance`, because no document can say that `from` is before `to`; and the checks
# of keys, which the tenancy matrix makes.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Fuzzing:
    """A caller with a key, for the server at `url`."""

    url: str
    key: str
    folder: Path

    def run(self, document: Json, *options: str, methods: Set[str] = METHODS) -> None:
        """Try every operation with one of these methods; fails unless each response fits the document."""
        file = self.folder / "openapi.json"
        file.write_text(json.dumps(document))
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(file), "--url", self.url]
        command += ["--header", f"X-API-Key: {self.key}", "--checks", ",".join(CHECKS)]
        command += ["--seed", SEED, "--generation-database", "none", "--request-timeout", "10"]
        command += [part for method in sorted(methods) for part in ("--include-method", method.upper())]
        command += ["--no-color", "--continue-on-failure", "--suppress-health-check", "all", *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        tested = re.search(r"Tested: (\d+)", done.stdout)
        assert tested is not None, done.stdout
        assert int(tested[1]) == count(document, methods), done.stdout


def contract(furnished: Furnished, jobs: Sequence[str]) -> Json:
    """The document with names that mean something, and without room for what it does not say.

    A name is that of one of `jobs`, of something else that the tenant has, or of nothing; no batch gets a
    label, which would be another. Without `default`, a response's status must be one that its operation has.
    """
    document: Json = furnished.door.get(f"{PREFIX}/openapi.json").get_json()
    for schema in ("TextBatchIn", "ProcessorBatchIn"):
        del document["components"]["schemas"][schema]["properties"]["batch_id"]
    for path, item in document["paths"].items():
        lasting = path.endswith(("/events", "/stream"))  # as long as the job
        known = _known(furnished, [job for job in jobs if not lasting or job in furnished.ended])
        for operation in (item[method] for method in METHODS & item.keys()):
            operation["responses"].pop("default", None)
            for parameter in [*item.get("parameters", ()), *operation.get("parameters", ())]:
                if parameter["in"] != "header" and parameter["name"] in known:
                    parameter["schema"] = {"type": "string", "enum": [*known[parameter["name"]], NOTHING]}
    return document


def aimed(document: Json, furnished: Furnished) -> Json:
    """The document with bodies that are mostly accepted; what it leaves out is valid, too."""
    tenant = furnished.door.get(f"{PREFIX}/me").get_json()["tenant_id"]
    narrowed = copy.deepcopy(document)
    for schema, fields in _accepted(tenant).items():
        narrowed["components"]["schemas"][schema]["properties"].update(fields)
    return narrowed


def count(document: Json, methods: Set[str]) -> int:
    """How many operations have one of these methods."""
    return sum(len(item.keys() & methods) for item in document["paths"].values())


def _accepted(tenant: str) -> Mapping[str, Json]:
    """Fields in place of those of a schema, which says less than there is to know."""
    prompt = {"prompt": {"type": "string", "minLength": 1, "pattern": "^[ -~]+$"}}
    asked = {"type": "object", "required": ["prompt"], "properties": prompt, "additionalProperties": False}
    return {
        "JobIn": {
            "model": {"enum": ["simulated", "no-model"]},
            "records": {"type": "array", "minItems": 1, "items": asked},
            **{name: {"type": "null"} for name in ("template", "prompt", "schema", "params")},
        },
        "ProcessorBatchIn": {
            "data": {"type": "array", "minItems": 1, "maxItems": 1_000, "items": asked},
        },
        "DocumentsJobIn": {"tenant_id": {"enum": [tenant, NOTHING]}, "model": {"enum": [None, "simulated"]}},
    }


def _known(furnished: Furnished, jobs: Sequence[str]) -> Mapping[str, Sequence[str]]:
    return {
        "job_id": jobs,
        "batch_id": [*jobs, *furnished.labels],
        "batchId": [*jobs, *furnished.labels],
        "key_id": furnished.keys,
        "file_id": furnished.files,
        "webhook_id": [furnished.webhook],
        "endpoint_id": [furnished.webhook],
        "delivery_id": [furnished.delivery],
        "group": [GROUP],
        "name": [OPERATION],
    }
