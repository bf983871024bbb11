"""GGUF files that their publishers name by digest: a file with that digest is that model, wherever it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A GGUF file as its publisher gives it.

    Attributes:
        repository: on the hub.
        revision: the commit of the repository.
        file: its name there.
        sha256: its digest.
        licence: an SPDX name.
    """

    repository: str
    revision: str
    file: str
    sha256: str
    licence: str

    @property
    def name(self) -> str:
        """The name by which configs call it."""
        return f"{self.repository}:{self.file}"


PUBLISHED = (
    Published(
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        revision="ebb2015119c907b064c512bf053e945850b5875f",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0",
    ),
    Published(
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        licence="Apache-2.0",
    ),
)


def by_digest(sha256: str) -> Published | None:
    """Return the published file with that digest, if it is one of ours."""
    return next((item for item in PUBLISHED if item.sha256 == sha256), None)


def by_name(name: str) -> Published | None:
    """Return the published file of that name (``REPOSITORY:FILE``), if it is one of ours."""
    return next((item for item in PUBLISHED if item.name == name), None)
