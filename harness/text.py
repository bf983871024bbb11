"""Words and figures as pages and terminals show them."""

from __future__ import annotations

import math
import re

from harness.guards.printing import plain
from harness.types import Interval

__all__ = ["figure", "markdown", "number", "percent", "plain", "span"]


_MARKUP = re.compile(
    r"""[^\w\s.,:;/%()=+'\u0080-\U0010ffff-]     # all that can be markup or HTML
    | (?<!\w)_ | _(?!\w) | ^[-+=]               # emphasis, not the underscore of a name; a list or a heading
    | /(?=/) | (?<=/)/ | (?<=www)\.             # what would make a link of an address""",
    re.VERBOSE | re.IGNORECASE,
)


def markdown(text: str) -> str:
    """``text`` for one cell or line of Markdown, in which nothing of it is markup: specials are escaped."""
    return _MARKUP.sub(r"\\\g<0>", plain(text))


def figure(value: float) -> str:
    """A score for a table, in at most 7 characters: three decimals where they fit; a dash where there is none."""
    if math.isnan(value):
        return "–"
    for bound, form in ((10.0, ".3f"), (1000.0, ".1f"), (1e6, ".0f")):
        if abs(value) < bound:
            return format(value, form)
    return format(value, ".0e")


def span(interval: Interval) -> str:
    """The ends of an interval for a table; a dash where they are undefined."""
    return "–" if math.isnan(interval.low) else f"{figure(interval.low)} to {figure(interval.high)}"


def number(value: float) -> float | None:
    """A number for a table; null where it is missing."""
    return None if math.isnan(value) else value


def percent(value: float) -> str:
    """Return a share for a table; a dash if it is NaN."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"
