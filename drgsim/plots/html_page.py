"""Parts of a self-contained HTML page: cards, sortable tables, figures. Nothing is fetched."""

from __future__ import annotations

import hashlib
import math
import os
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drgsim.display import Html, element
from drgsim.exceptions import InputError
from drgsim.files.atomic import make_folder, write_text_whole
from drgsim.plots.style import render_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 144
"""Twice the size at which a figure is shown, so that it stays sharp."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#222;max-width:1040px;margin:0 auto;padding:20px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:19px;margin:34px 0 6px;border-bottom:2px solid #0072B2}
p{max-width:78ch;margin:6px 0}ul{max-width:78ch}figure{margin:12px 0}img{max-width:100%;height:auto}
figcaption,.small{color:#555;font-size:13px}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:14px 0}
.card{border:1px solid #bbb;border-left:5px solid #0072B2;padding:8px 14px;min-width:205px}
.card b{display:block;font-size:21px}
.scroll{overflow:auto;max-height:430px;border:1px solid #ccc;margin:8px 0}
table{border-collapse:collapse;width:100%;font-size:13px}
th{position:sticky;top:0;background:#eee;text-align:left;vertical-align:bottom;padding:0}
th button{all:unset;box-sizing:border-box;cursor:pointer;padding:5px 9px;width:100%;font-weight:600}
th button:focus-visible{outline:2px solid #0072B2;outline-offset:-2px}
th[aria-sort=ascending] button::after{content:" \\25B2"}th[aria-sort=descending] button::after{content:" \\25BC"}
td{padding:3px 9px;border-top:1px solid #e4e4e4}td.n,th.n button{text-align:right}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:#f5f5f5;padding:10px;overflow:auto;font-size:12px}
@media print{.scroll{max-height:none;overflow:visible}th{position:static}}
"""
_SCRIPT = """
document.querySelectorAll("th button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.parentNode, row = head.parentNode, body = row.parentNode.parentNode.tBodies[0];
    var at = Array.prototype.indexOf.call(row.cells, head);
    var down = head.getAttribute("aria-sort") !== "descending";
    Array.prototype.forEach.call(row.cells, function (cell) { cell.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    var value = function (line) {
      var cell = line.cells[at];
      return cell.dataset.v === undefined ? cell.textContent : parseFloat(cell.dataset.v);
    };
    var order = function (a, b) {
      var x = value(a), y = value(b);
      if (typeof x === "string" || typeof y === "string") {
        return (down ? 1 : -1) * String(y).localeCompare(String(x));
      }
      if (isNaN(x) || isNaN(y)) { return isNaN(x) - isNaN(y); }
      return down ? y - x : x - y;
    };
    Array.prototype.slice.call(body.rows).sort(order).forEach(function (line) { body.appendChild(line); });
  });
});
"""


@dataclass(frozen=True)
class Number:
    """A number in a table: its text, and the value by which a click sorts it; null sorts last."""

    text: str
    value: float | None


Cell = str | Number


def make_cards(rows: Iterable[tuple[str, str, str]]) -> Html:
    """Return headline figures next to each other: name, value, interval.

    >>> make_cards([("Net", "5 USD", "3 to 7 USD")])
    '<div class="cards"><div class="card">Net<b>5 USD</b><span class="small">3 to 7 USD</span></div></div>'
    """
    cards = (
        element("div", name, element("b", value), element("span", interval, class_="small"), class_="card")
        for name, value, interval in rows
    )
    return element("div", *cards, class_="cards")


def make_table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str) -> Html:
    """Return a table that a click on a column's name sorts.

    >>> "&lt;b&gt;" in make_table(["drg", "USD"], [["<b>", Number("1,000", 1000.0)]], caption="two columns")
    True
    """
    lines = [*rows]
    right = [bool(lines) and isinstance(lines[0][at], Number) for at in range(len(header))]
    head = (
        element("th", element("button", name, type="button"), scope="col", class_="n" if is_number else None)
        for name, is_number in zip(header, right, strict=True)
    )
    body = (element("tr", *map(_cell, line)) for line in lines)
    table = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    box = element("div", table, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return Html(box + element("p", caption, class_="small"))


def _cell(cell: Cell) -> Html:
    if isinstance(cell, str):
        return element("td", cell)
    value = "NaN" if cell.value is None or not math.isfinite(cell.value) else repr(float(cell.value))
    return element("td", cell.text, class_="n", data_v=value)


def make_picture(figure: Figure, caption: str) -> Html:
    """Return a figure of matplotlib inside the page; its caption is also its alternative text."""
    data = b64encode(render_png(figure, dpi=_DPI)).decode("ascii")
    width = round(figure.get_figwidth() * _DPI / 2 * 1.3)
    image = element("img", width=f"{width}", alt=caption, src=f"data:image/png;base64,{data}")
    return element("figure", image, element("figcaption", caption))


def make_page(title: str, parts: Iterable[Html]) -> str:
    """Return the whole page.

    The page forbids itself every connection, and every script but its own, which the page knows by its hash.

    >>> "default-src &#x27;none&#x27;" in make_page("A & B", [element("p", "text")])
    True
    """
    script = b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    lines = (line for part in parts for line in (Html("\n"), part))
    body = element("body", element("h1", title), *lines, Html("\n"), element("script", Html(_SCRIPT)))
    return "<!DOCTYPE html>\n" + element("html", head, Html("\n"), body, lang="en") + "\n"


def write_page(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file whole or not at all, and return its path; a missing folder is made.

    Raises:
        InputError: the path is a folder.
        StorageError: the system cannot write there.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder; name the file to write, such as {target / 'report.html'}.")
    make_folder(target.parent)
    write_text_whole(target, text)
    return target
