"""References of docstrings as links: ``:class:`harness.types.Unit``` becomes one where the pages have that object."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod|attr|exc):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites the roles of Sphinx in every docstring before it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_link, obj.docstring.value)


def _link(role: re.Match[str]) -> str:
    name = role[1]
    return f'<autoref optional identifier="{name}"><code>{name.removeprefix("harness.")}</code></autoref>'
