"""The blueprint of the native contract."""

from app.core.reading.job_json import PREFIX
from app.web import blueprint


class Blueprint(blueprint.Blueprint):
    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, f"app.api.{name}", url_prefix=PREFIX, description=description)
