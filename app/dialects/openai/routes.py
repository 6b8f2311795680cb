"""Files and batches as OpenAI's clients know them."""

from app.dialects.openai import batches, files, wire
from app.dialects.openai.blueprint import blp

PREFIXES = ("/v1/batches",)

__all__ = ["PREFIXES", "batches", "blp", "files", "wire"]
