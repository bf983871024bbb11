"""A model of GGUF weights behind llama.cpp's own OpenAI-compatible server, on loopback, until it is stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import weights
from harness.files import shipped
from harness.guards import reading
from harness.progress import show
from harness.types import NeuroglossError


@dataclass(frozen=True)
class Serving:
    """How a model is served.

    Attributes:
        model: an option of ``conf/model``, or a GGUF file as :func:`harness.weights.locate` names it.
        port: on loopback; 0 takes a free one.
        threads: of the processor.
        context: number of tokens that a prompt and its reply may have together.
        parallel: number of requests that are answered at once, each with a context of its own.
    """

    model: str
    port: int = 0
    threads: int = os.cpu_count() or 1
    context: int = 4096
    parallel: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.port < 1 << 16:
            raise NeuroglossError(f"--port is {self.port}; write a number from 0 (any free port) to 65535.")
        for name, value in (("threads", self.threads), ("context", self.context), ("parallel", self.parallel)):
            if value < 1:
                raise NeuroglossError(f"--{name} is {value}; write 1 or more.")


def wait(serving: Serving) -> None:
    """Serve until the process is interrupted; say first where, and how a run asks it."""
    with served(serving) as (name, url):
        show(
            f"{name} at {url}; Ctrl-C ends it. A run asks it by:",
            f"neurogloss run explainer=token_activation explainer_model=server explainer_model.server.name={name} "
            f"explainer_model.server.base_url={url}",
        )
        threading.Event().wait()


@contextmanager
def served(serving: Serving) -> Iterator[tuple[str, str]]:
    """Serve a model within a ``with`` statement, which is handed its name and the base URL.

    Raises:
        NeuroglossError: llama.cpp is not installed, there is no such file, or the server does not begin.
    """
    name, path = gguf_of(serving.model)
    llama = _llama_cpp()
    try:
        server = llama.Server(_parameters(llama, serving, name, path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise NeuroglossError(f"llama.cpp does not serve {path} ({reason}); check the file and --port.") from error
    try:
        yield name, f"{server.listening_address}/v1"
    finally:
        del server  # which ends it


def gguf_of(model: str) -> tuple[str, Path]:
    """Return the name that replies bear, and the GGUF file of a model.

    Raises:
        NeuroglossError: it has no GGUF file.
    """
    option = shipped("conf") / "model" / f"{model}.yaml"
    node = reading.yaml_of(option) if option.is_file() else {"name": model}
    if node.get("use", "model/transformers") != "model/transformers" or "name" not in node:
        raise NeuroglossError(f"{model} is no model of GGUF weights; name one that is, or FOLDER/FILE.gguf.")
    file = weights.gguf_file(node["name"], node.get("revision"))
    if file is None:
        raise NeuroglossError(f"{model} is not a GGUF file, which llama.cpp needs; name FOLDER/FILE.gguf.")
    return (model if option.is_file() else file.stem), file


def _llama_cpp() -> Any:
    """Import llama.cpp's bindings."""
    try:
        import xllamacpp  # noqa: PLC0415  # an extra of its own
    except ImportError as error:
        raise NeuroglossError("neurogloss serve needs xllamacpp; install neurogloss[serve].") from error
    return xllamacpp


def _parameters(llama: Any, serving: Serving, name: str, path: Path) -> Any:
    parameters = llama.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {name}
    parameters.port = serving.port
    parameters.n_ctx = serving.context * serving.parallel
    parameters.n_parallel = serving.parallel
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = serving.threads
    return parameters
