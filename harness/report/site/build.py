"""The files of a site: two pages whose styles and scripts they hold themselves, and data in shards.

A page's policy lets it run only the scripts and styles whose SHA-256 it names, and the shards that its own script adds;
it may reach no host. Texts of others are escaped in the pages, and reach the page of a unit as text alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from harness.guards.printing import harmless
from harness.report.html import environment
from harness.report.page import Page
from harness.report.site import charts
from harness.report.site.data import CHARACTERS_PER_SHARD, UNITS_PER_SHARD, BoardData, board_data, unit_data
from harness.results import unit_view
from harness.results.run import Results

FOLDER = "site"
"""The folder of a run that holds its site."""
_HERE = Path(__file__).parent


def write(results: Results, board: Page, run: Path, folder: Path) -> None:
    """Write the site of a run.

    Args:
        results: of the run.
        board: its board, whose facts and sentences stand on the site.
        run: the folder that holds the tables of the run.
        folder: a new folder for the site.
    """
    write_board(board_data(results), board, map(unit_data, unit_view.read_all(run)), folder)


def write_board(data: BoardData, page: Page, units: Iterable[Mapping[str, Any]], folder: Path, home: str = "") -> None:
    """Write a board to sort and filter, and a page that shows any of its units.

    Args:
        data: the board.
        page: whose facts, further tables and sentences stand on it.
        units: as :func:`harness.report.site.data.unit_data` makes them.
        folder: a new folder for the pages.
        home: the address of the page that leads here; empty if there is none.
    """
    (folder / "data").mkdir(parents=True)
    places: dict[str, int] = {}
    for number, shard in enumerate(_shards(units)):
        text = f"loaded({number}, {{{','.join(shard.values())}}});\n"
        (folder / "data" / shard_name(number)).write_text(text, encoding="utf-8")
        places |= dict.fromkeys(shard, number)
    (folder / "index.html").write_text(_index(data, page, places, home), encoding="utf-8")
    (folder / "unit.html").write_text(_unit_page(data, places), encoding="utf-8")


def picture(data: BoardData) -> str:
    """Return the means of a board as a picture that stands alone; empty for a board without scores."""
    svg = charts.means(data)
    return harmless(svg.replace(">", f"><style>{_asset('picture.css')}</style>", 1)) if svg else ""


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f"units-{number:03d}.js"


def _shards(units: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """Yield units by their name, each as a member of a JSON object, as many together as a shard has room for."""
    shard: dict[str, str] = {}
    for unit in units:
        shard[unit["unit"]] = f"{_json(unit['unit'])}:{_json(unit)}"
        if len(shard) == UNITS_PER_SHARD or sum(map(len, shard.values())) > CHARACTERS_PER_SHARD:
            yield shard
            shard = {}
    if shard:
        yield shard


def _index(data: BoardData, page: Page, places: Container[str], home: str) -> str:
    figures = (
        ("Scores with their intervals", charts.means(data)),
        ("Score by layer", charts.by_group(data)),
        ("Scores of all units", charts.spread(data)),
        ("Score and tokens", charts.against_cost(data)),
    )
    return rendered(
        "index.html.j2",
        _asset("board.js"),
        data=data,
        page=page,
        places=places,
        home=home,
        figures=[(title, Markup(svg)) for title, svg in figures if svg],
    )


def _unit_page(data: BoardData, places: Mapping[str, int]) -> str:
    known = {
        "places": places,
        "rows": [{"name": row.name, "control": row.control} for row in data.rows],
        "metric": data.metric,
        "task": data.task,
    }
    return rendered("unit.html.j2", f"const known = {_json(known)};\n{_asset('unit.js')}", data=data)


def rendered(template: str, script: str, **values: Any) -> str:
    """Return a page with its style, its script, and the policy that allows these two alone."""
    style = _asset("site.css")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}' 'strict-dynamic'; "
        "base-uri 'none'; form-action 'none'"
    )
    code = {"style": Markup(style), "script": Markup(script)}
    return environment(_HERE).get_template(template).render(policy=policy, **code, **values)


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: object) -> str:
    """Return JSON that can stand in a script: it holds nothing that could end one."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("&", "\\u0026")
