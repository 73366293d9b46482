"""Examples of docstrings as code blocks: Markdown would take their prompt for a quotation."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"(?m)^( *)>>> .*(?:\n\1\S.*|\n\1 +\S.*)*")


def fenced(text: str) -> str:
    """Return a docstring with a fence around each example, from its first prompt to the next blank line."""

    def block(found: re.Match[str]) -> str:
        indent = found[1]
        return f"{indent}```pycon\n{found[0]}\n{indent}```"

    return _EXAMPLE.sub(block, text)


class FencedExamples(griffe.Extension):
    """Fences the examples of every object that is documented."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite its docstring."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
