"""Keys of models in messages: a model names its settings ``model.SETTING``, and where it was built from a config, the
message names the key that the user wrote, such as ``explainer_model.server.base_url``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.types import NeuroglossError

_SETTING = re.compile(r"(?<![\w./:-])model\.(?=[a-z_]+)(?!safetensors\b|gguf\b)")
"""The beginning of a setting's name in a message, and of no file's."""


def in_config(sentence: str, key: str) -> str:
    """Return a sentence in which ``model.SETTING`` is ``KEY.SETTING``."""
    return _SETTING.sub(f"{key}.", sentence)


@contextmanager
def named(key: str) -> Iterator[None]:
    """Name the settings of a model by its key in the config, in whatever goes wrong within the context.

    Args:
        key: the dotted key of the model's node; empty where it comes from no config.
    """
    try:
        yield
    except NeuroglossError as error:
        if key:
            error.args = (in_config(str(error), key),)
        raise
