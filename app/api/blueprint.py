"""The blueprint of the native contract."""

from app import contract
from app.contract import answer, read_json
from app.core.reading.job_json import PREFIX

__all__ = ["Blueprint", "answer", "read_json"]


class Blueprint(contract.Blueprint):
    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"app.api.{name}", url_prefix=PREFIX, description=description)
