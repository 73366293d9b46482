"""Codes that are none of the version that groups them, counted while admissions are grouped."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import polars as pl

from drgsim.grouping.grouping_steps import Steps
from drgsim.tables.encoding import flatten_lists
from drgsim.tables.table_set import TableSet
from drgsim.tables.unknown_codes import UNKNOWN_CODES, tabulate_unknown_codes

_KINDS = {"pdx": "dx", "sdx": "dx", "procedures": "pr"}


class CodeCounter:
    """A count of codes that are none of the version that groups them.

    `count` is called for parts of the admissions, on several threads.
    """

    def __init__(self) -> None:
        """Begin with no codes."""
        self._unknown: dict[str, list[pl.Series]] = defaultdict(list)
        self._codes: dict[str, list[int]] = defaultdict(list)

    def count(self, steps: Steps, rows: pl.DataFrame) -> None:
        """Count the codes of admissions that were grouped.

        Args:
            steps: their steps.
            rows: the same admissions, as `check_admissions` returned them.
        """
        encoded, diagnoses = steps.encoded, steps.rules.diagnoses
        invalid = {
            "pdx": ~diagnoses.valid.take(encoded.pdx),
            "sdx": ~diagnoses.valid.take(encoded.sdx),
            "procedures": steps.observed.operand_set == 0,
        }
        for field, wrong in invalid.items():
            place = np.flatnonzero(wrong)
            total = len(wrong)
            if len(place):
                texts = (rows[field] if field == "pdx" else flatten_lists(rows[field])).gather(place)
                given = texts.filter((texts.str.strip_chars() != "").fill_null(value=False))
                total -= len(texts) - len(given)
                self._unknown[field].append(given)
            self._codes[field].append(total)

    def table(self, tables: TableSet) -> pl.DataFrame:
        """Return the counts: `drgsim.tables.unknown_codes.UNKNOWN_CODES`."""
        parts = [
            tabulate_unknown_codes(field, _KINDS[field], pl.concat(texts), sum(self._codes[field]), tables)
            for field, texts in self._unknown.items()
        ]
        order = {"pdx": 0, "sdx": 1, "procedures": 2}
        parts.sort(key=lambda part: order[part["field"][0]] if part.height else 0)
        return pl.concat(parts) if parts else pl.DataFrame(schema=UNKNOWN_CODES)
