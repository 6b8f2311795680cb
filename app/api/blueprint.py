"""The blueprint of the native contract."""

from app.core.reading.job_json import PREFIX
from app.web import blueprint
from app.web.answers import answer
from app.web.bodies import read_json

__all__ = ["Blueprint", "answer", "read_json"]


class Blueprint(blueprint.Blueprint):
    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"app.api.{name}", url_prefix=PREFIX, description=description)
