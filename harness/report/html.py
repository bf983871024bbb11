"""Templates of HTML: what others wrote is escaped in them, drives no terminal, and turns no line."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from harness.guards.printing import harmless


def environment(folder: Path) -> jinja2.Environment:
    """Return the templates of a folder; a name that they are not given is an error."""
    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        loader=jinja2.FileSystemLoader(folder),
    )


def _harmless(value: object) -> object:
    """Return a value of a page without characters that drive a terminal, turn its lines, or are no UTF-8."""
    if isinstance(value, Markup):
        return Markup(harmless(value))
    return harmless(value) if isinstance(value, str) else value
