"""Secrets by value: what the environment holds of keys is refused in configs, and scrubbed from every text that leaves.

A variable holds a secret if its name ends in KEY, TOKEN, SECRET or PASSWORD, or if a config names it by an ``*_env``
key (:func:`watch`). A value of less than :data:`LEAST` characters is no secret: it would be found in any text.
"""

from __future__ import annotations

import html
import json
import os
import re
from urllib.parse import quote, quote_plus

LEAST = 6
"""Characters of the shortest value that counts as a secret."""
_HOLDS_A_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE)S?$", re.IGNORECASE)
_WATCHED: set[str] = set()
"""Further variables that hold secrets, by their names."""


def watch(variable: str | None) -> None:
    """Take an environment variable that a config names for one that holds a secret, from now on."""
    if variable:
        _WATCHED.add(variable)


def values() -> dict[str, str]:
    """Return each secret with the name of its variable, the longest first."""
    variables = {name: text.strip() for name, text in os.environ.items() if _is_secret(name)}
    pairs = sorted(variables.items(), key=lambda pair: -len(pair[1]))
    return {text: name for name, text in pairs if len(text) >= LEAST}


def variable_in(text: str) -> str | None:
    """Return the name of a variable whose secret stands in a text; None if there is none."""
    return next((name for secret, name in values().items() if any(form in text for form in forms(secret))), None)


def scrubbed(text: str) -> str:
    """Return ``text`` with the name of its variable, in brackets, for each secret that stands in it."""
    for secret, name in values().items():
        for form in forms(secret):
            text = text.replace(form, f"[{name}]")
    return text


def _is_secret(name: str) -> bool:
    return name in _WATCHED or _HOLDS_A_SECRET.search(name) is not None


def forms(secret: str) -> tuple[str, ...]:
    """Return a secret as texts hold it: plain, in JSON, in an address, in HTML."""
    in_json = (json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False))
    in_html = (html.escape(secret, quote=quotes) for quotes in (True, False))
    return tuple(dict.fromkeys((secret, *in_json, quote(secret, safe=""), quote(secret), quote_plus(secret), *in_html)))
