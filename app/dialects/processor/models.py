"""The model that a batch is sent to, and a warning where that model invents its outputs."""

from collections.abc import Mapping
from typing import Any

from app.core.reading.jobs import JobView
from app.errors import BadInput
from app.providers.registry import INFERENCE, SIMULATED
from config.settings import Settings


def choose(kind: str, metadata: Mapping[str, Any], chosen: Settings) -> str:
    """The model that a batch requests: by `metadata.model_id`, otherwise by the environment.

    Where no inference server was set up, `simulated` answers inputs, unless the model is `inference:NAME`.
    Raises `BadInput` for a name that is none, and without any.
    """
    named = metadata.get("model_id")
    if named is not None and (not isinstance(named, str) or not named):
        raise BadInput("metadata.model_id: give the name of a model, as a non-empty string")
    if kind == "prompt":
        return named or chosen.default_model
    if named == SIMULATED.name or (_has_no_server(chosen) and not _is_of_a_server(named)):
        return SIMULATED.name
    served = named or chosen.inference_model
    if served is None:
        raise BadInput(
            "metadata.model_id: an `input` needs a model of the inference server: name it, or have the"
            " operator set INFERENCE_MODEL"
        )
    return INFERENCE.prefix + INFERENCE.served_name(served)


def is_simulated(view: JobView) -> bool:
    return view.model == SIMULATED.name


def warning(view: JobView) -> str | None:
    """That the batch's outputs are invented, and what makes them real; None if they are not."""
    if not is_simulated(view):
        return None
    named = view.metadata.get("model_id")
    instead = f", and {str(named)[:60]!r} is not asked" if named not in (None, view.model) else ""
    return (
        f"The model 'simulated' invents the outputs of this batch{instead}. Real ones need, for an `input`,"
        " an inference server (set INFERENCE_URL where Penstock runs); for a `prompt` or `messages`,"
        " another model in metadata.model_id or DEFAULT_MODEL."
    )


def _has_no_server(chosen: Settings) -> bool:
    """Whether the operator set up no inference server, nor half of one."""
    return chosen.inference_url is None and chosen.inference_model is None


def _is_of_a_server(named: str | None) -> bool:
    return named is not None and named.startswith(INFERENCE.prefix)
