"""A report in sections, as plain text and as self-contained HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

WIDTH = 118
_LEAST = 30
"""What the last column of a table is wrapped at, however wide the others are."""

_STYLE = (
    "<style>.drgsim td,.drgsim th{text-align:left;vertical-align:top;padding:1px 10px 1px 0}"
    ".drgsim h4{margin:10px 0 2px}.drgsim p{margin:1px 0}"
    ".drgsim .numbers td+td,.drgsim .numbers th+th{text-align:right}</style>"
)


@dataclass(frozen=True)
class Section:
    """A title, lines of text, and a table below them, whose columns after the first may be `numbers`."""

    title: str
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: bool = False


def render_text(heading: str, sections: Sequence[Section]) -> str:
    """Return a report as plain text, wrapped at 118 columns.

    >>> print(render_text("Case 1", [Section("Codes", ("Two codes.",), ("code", "says"), (("I10", "no CC"),))]))
    Case 1
    <BLANKLINE>
    Codes
      Two codes.
      code  says
      I10   no CC
    """
    parts = ["\n".join(wrap(heading, WIDTH))]
    for section in sections:
        lines = [section.title]
        for line in section.lines:
            lines += wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
        parts.append("\n".join(lines + _table(section)))
    return "\n\n".join(parts)


def _table(section: Section) -> list[str]:
    rows = [row for row in (section.header, *section.rows) if row]
    if not rows:
        return []
    if section.numbers:
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows = [(row[0], *(cell.rjust(width) for cell, width in zip(row[1:], wide[1:], strict=True))) for row in rows]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    lines = []
    for row in rows:
        start = "  " + "".join(cell.ljust(width + 2) for cell, width in zip(row[:-1], widths, strict=True))
        last = wrap(row[-1], max(_LEAST, WIDTH - len(start))) or [""]
        lines += [(start + last[0]).rstrip(), *(" " * len(start) + more for more in last[1:])]
    return lines


def render_html(heading: str, sections: Sequence[Section]) -> str:
    """Return a report as HTML that needs nothing else; every text is escaped.

    >>> "1 &lt; 2" in render_html("Case 1", [Section("Sizes", ("1 < 2",))])
    True
    """
    parts = [_STYLE, f"<h3>{escape(heading)}</h3>"]
    for section in sections:
        parts.append(f"<h4>{escape(section.title)}</h4>")
        parts += [f"<p>{escape(line)}</p>" for line in section.lines]
        if section.rows:
            begin = '<table class="numbers">' if section.numbers else "<table>"
            parts.append(begin + _row("th", section.header) + "".join(_row("td", row) for row in section.rows))
            parts.append("</table>")
    return '<div class="drgsim">' + "".join(parts) + "</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>" if cells else ""
