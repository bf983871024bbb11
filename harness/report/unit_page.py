"""A unit on the terminal: heat maps of its real activations, and below them those that each row's simulator gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.style import Style
from rich.text import Text

from harness.results.unit_view import ExcerptView, UnitView
from harness.text import figure
from harness.types import HIGHEST_LEVEL, RowKey

REAL = (200, 90, 20)
"""The colour (red, green, blue) of the strongest real activation."""
SIMULATED = (30, 100, 190)
"""The colour of the strongest simulated one; the two differ for colour-blind readers too."""
BACKGROUND = (255, 255, 255)
TEXT_COLOUR = "rgb(0,0,0)"


def build(view: UnitView, excerpts: int) -> RenderableType:
    """Return a unit's page with at most so many excerpts of each kind."""
    parts: list[RenderableType] = [Text(f"Unit {view.unit}, rows by {view.metric}", style="bold"), Text()]
    for row in view.rows:
        name, score = _name(row.key), "–" if row.score is None else figure(row.score)
        parts.append(Text.assemble((f"{name} ", "bold"), f"{score}: ", row.explanation))
    for kind in dict.fromkeys(excerpt.kind for excerpt in view.excerpts):
        for excerpt in [excerpt for excerpt in view.excerpts if excerpt.kind == kind][:excerpts]:
            parts += [Text(), *_excerpt(excerpt)]
    return Group(*parts, Text(), Text("Colour, or a number behind a token, is the level from 0 to 10.", style="dim"))


def _name(key: RowKey) -> str:
    return f"{key.explainer} · {key.simulator}"


def _excerpt(excerpt: ExcerptView) -> Iterator[RenderableType]:
    yield Text(f"{excerpt.kind} excerpt, {excerpt.source}", style="dim")
    yield HeatMap("real", excerpt.tokens, excerpt.real, REAL)
    for key, shares in excerpt.simulated.items():
        yield HeatMap(_name(key), excerpt.tokens, shares, SIMULATED)


@dataclass(frozen=True)
class HeatMap:
    """A line of tokens behind a name: coloured by their share, or with their levels where there are no colours."""

    name: str
    tokens: tuple[str, ...]
    shares: tuple[float, ...]
    colour: tuple[int, int, int]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(f"{self.name}: ", style="italic")
        if not self.shares:
            yield line.append("missing")
            return
        for token, share in zip(self.tokens, self.shares, strict=True):
            line.append(*(_coloured(token, share, self.colour) if console.color_system else (_levelled(token, share),)))
        yield line


def _coloured(token: str, share: float, colour: Sequence[int]) -> tuple[str, Style | None]:
    """Return a token on a background between white and a colour; one of no level has the terminal's own."""
    if round(share * HIGHEST_LEVEL) < 1:
        return _shown(token), None
    red, green, blue = (round(end + (start - end) * (1 - share)) for start, end in zip(BACKGROUND, colour, strict=True))
    return _shown(token), Style.parse(f"{TEXT_COLOUR} on rgb({red},{green},{blue})")


def _levelled(token: str, share: float) -> str:
    level = round(share * HIGHEST_LEVEL)
    return f"{_shown(token)}[{level}]" if level else _shown(token)


def _shown(token: str) -> str:
    """Return a token with its line ends visible."""
    return token.replace("\n", "↵").replace("\t", "→")
