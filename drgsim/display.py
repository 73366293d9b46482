"""Results as plain text and as HTML. All HTML of drgsim is made of `element`, which escapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

WIDTH = 118
_NARROWEST = 30
"""Least width of the last column of a table, however wide the other columns are."""
_LONGEST_NUMBER = 10**1000
_VOID = {"img", "meta"}
"""Elements without an end tag."""

_STYLE = (
    ".drgsim td,.drgsim th{text-align:left;vertical-align:top;padding:1px 10px 1px 0}"
    ".drgsim h4{margin:10px 0 2px}.drgsim p{margin:1px 0}"
    ".drgsim .numbers td+td,.drgsim .numbers th+th{text-align:right}"
)


def show_value(value: object, most: int = 80) -> str:
    """Return an argument as messages quote it, shortened.

    A number too long for Python to write gives its size.

    >>> show_value("4.5"), show_value(10**5000)
    ("'4.5'", 'a whole number of more than 1,000 digits')
    """
    if isinstance(value, int) and abs(value) >= _LONGEST_NUMBER:
        return "a whole number of more than 1,000 digits"
    try:
        text = repr(value)
    except ValueError:  # it holds such a number
        text = f"a {type(value).__name__} of a number too long to show"
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True)
class Section:
    """A title, lines of text and a table; `numbers`: its columns after the first are numbers."""

    title: str
    lines: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: bool = False


class PrintedReport(ABC):
    """A result that prints as text, and as HTML in a notebook.

    >>> class Two(PrintedReport):
    ...     def _build_report(self):
    ...         return "Case 1", [Section("Codes", ("Two codes.",))]
    >>> print(Two())
    Case 1
    <BLANKLINE>
    Codes
      Two codes.
    """

    @abstractmethod
    def _build_report(self) -> tuple[str, Sequence[Section]]:
        """Return the heading and the sections."""

    def __str__(self) -> str:
        """Return the report as plain text."""
        return render_text(*self._build_report())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show the same in a notebook."""
        return render_html(*self._build_report())


def render_text(heading: str, sections: Sequence[Section]) -> str:
    """Return a report as plain text, wrapped at 118 columns.

    >>> print(render_text("Case 1", [Section("Codes", ("Two codes.",), ("code", "is"), (("I10", "no CC"),))]))
    Case 1
    <BLANKLINE>
    Codes
      Two codes.
      code  is
      I10   no CC
    """
    parts = ["\n".join(wrap(heading, WIDTH))]
    for section in sections:
        lines = [section.title]
        for line in section.lines:
            lines += wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
        parts.append("\n".join(lines + _text_table(section)))
    return "\n\n".join(parts)


def _text_table(section: Section) -> list[str]:
    rows = [row for row in (section.header, *section.rows) if row]
    if not rows:
        return []
    if section.numbers:
        widest = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows = [(row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widest[1:], strict=True))) for row in rows]
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    lines = []
    for row in rows:
        start = "  " + "".join(cell.ljust(width + 2) for cell, width in zip(row[:-1], widths, strict=True))
        last = wrap(row[-1], max(_NARROWEST, WIDTH - len(start))) or [""]
        lines += [(start + last[0]).rstrip(), *(" " * len(start) + more for more in last[1:])]
    return lines


class Html(str):
    """Text that is HTML already: `element` puts it in as it is."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | None) -> Html:
    """Return an HTML element; children and attributes that are not `Html` are escaped.

    Attributes without a value are left out. `class_` is written class, `data_v` data-v.

    >>> element("p", "1 < 2", element("b", "& more"), class_="small", id=None)
    '<p class="small">1 &lt; 2<b>&amp; more</b></p>'
    """
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    start = f"<{tag}" + "".join(f' {name}="{escape(value)}"' for name, value in given.items()) + ">"
    inner = "".join(child if isinstance(child, Html) else escape(child) for child in children)
    return Html(start if tag in _VOID else f"{start}{inner}</{tag}>")


def render_html(heading: str, sections: Sequence[Section]) -> Html:
    """Return a report as HTML that needs nothing else; every text is escaped.

    >>> "1 &lt; 2" in render_html("Case 1", [Section("Sizes", ("1 < 2",))])
    True
    """
    parts = [element("style", Html(_STYLE)), element("h3", heading)]
    for section in sections:
        parts += [element("h4", section.title), *(element("p", line) for line in section.lines)]
        if section.rows:
            head = [_html_row("th", section.header)] if section.header else []
            rows = [*head, *(_html_row("td", row) for row in section.rows)]
            parts.append(element("table", *rows, class_="numbers" if section.numbers else None))
    return element("div", *parts, class_="drgsim")


def _html_row(tag: str, cells: Sequence[str]) -> Html:
    return element("tr", *(element(tag, cell) for cell in cells))
