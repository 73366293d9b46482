"""A self-contained HTML page: text, figures and sortable tables. Every text is escaped, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from drgsim.exceptions import InputError

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
    """A number in a table: how it is told, and what it is sorted by; a null comes last."""

    told: str
    value: float | None


Cell = str | Number


def heading(text: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, *, small: bool = False) -> str:
    """Return a paragraph.

    >>> paragraph("1 < 2")
    '<p>1 &lt; 2</p>'
    """
    return f'<p class="small">{escape(text)}</p>' if small else f"<p>{escape(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of points."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return headline figures side by side: what it is, its value, how sure it is."""
    parts = (
        f'<div class="card">{escape(name)}<b>{escape(value)}</b><span class="small">{escape(sure)}</span></div>'
        for name, value, sure in rows
    )
    return '<div class="cards">' + "".join(parts) + "</div>"


def folded(title: str, text: str) -> str:
    """Return plain text behind a title that opens it."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str) -> str:
    """Return a table that a click on a column's name sorts.

    >>> "&lt;b&gt;" in table(["drg", "USD"], [["<b>", Number("1,000", 1000.0)]], caption="two columns")
    True
    """
    lines = [*rows]
    right = [bool(lines) and isinstance(lines[0][at], Number) for at in range(len(header))]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}><button type="button">{escape(name)}</button></th>'
        for name, number in zip(header, right, strict=True)
    )
    body = "".join("<tr>" + "".join(map(_cell, line)) + "</tr>" for line in lines)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{paragraph(caption, small=True)}"
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    value = "NaN" if cell.value is None or not math.isfinite(cell.value) else repr(float(cell.value))
    return f'<td class="n" data-v="{value}">{escape(cell.told)}</td>'


def picture(figure: Figure, caption: str) -> str:
    """Return a figure of matplotlib inside the page, with a text for those who cannot see it."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    data = base64.b64encode(content.getvalue()).decode("ascii")
    width = round(figure.get_figwidth() * _DPI / 2 * 1.3)
    return (
        f'<figure><img width="{width}" alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def page(title: str, parts: Iterable[str]) -> str:
    """Return the whole page of parts made by this module.

    The page forbids itself every connection, and every script but its own, known by its hash.

    >>> "default-src 'none'" in page("A & B", [paragraph("text")])
    True
    """
    known = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{known}'"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def write_page(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file whole or not at all, and return its path; its folder is made if need be.

    Raises:
        InputError: the path is a folder, or nothing can be written there.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target} is a folder; name the file to write, such as {target / 'report.html'}.")
    # Written beside the target, then renamed onto it, so that no reader ever sees half a file.
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(text, "utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{target}: nothing can be written there ({error.strerror}).") from error
    return target
