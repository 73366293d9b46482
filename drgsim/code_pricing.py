"""Payment of admissions with another DRG or less codes, without building their lists of codes again.

The pricer looks at few codes: those of new technologies, COVID-19 and trials. Admissions go to `pay` with these
alone, so what it answers is what it would answer to the whole lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.payment import pay
from drgsim.rates import Rates
from drgsim.runs import Index, ranges
from drgsim.schema import STAYS
from drgsim.variants import Bools, Line

BATCH = 131_072
"""Stays priced at a time."""

_OF_STAY = ("hospital_id", "discharge_date", "discharge_status", "review_code", "condition_codes", "pdx", *STAYS.names)


@dataclass(frozen=True, eq=False)
class Repricing:
    """Admissions ready to be priced again: what the pricer reads of each, and where its codes stand in the line."""

    stays: pl.DataFrame
    codes: pl.Series
    line: Line
    reads: Bools
    hospitals: pl.DataFrame
    rates: Rates | Sequence[Rates]

    @classmethod
    def of(
        cls,
        admissions: pl.DataFrame,
        codes: pl.Series,
        line: Line,
        hospitals: pl.DataFrame,
        rates: Rates | Sequence[Rates],
    ) -> Repricing:
        """Make ready.

        Args:
            admissions: (n,) as `pay` takes them, but for `drg`.
            codes: (m,) their codes in the line's order.
            line: where each code stands.
            hospitals, rates: as `pay` takes them.
        """
        kept = [name for name in _OF_STAY if name in admissions.columns and name != "drg"]
        return cls(admissions.select(kept), codes, line, _read(codes, line, rates), hospitals, rates)

    def usd(self, rows: Index, drg: NDArray[np.uint16], dropped: Index | None = None) -> NDArray[np.float64]:
        """Return the payment of admissions grouped to `drg`, without some of their codes. (k,) [USD].

        Args:
            rows: (k,) the admissions.
            drg: (k,) what each is grouped to.
            dropped: (k, w) places in the line of the codes it is without; None for no code.
        """
        parts = [np.zeros(0)]
        for start in range(0, len(rows), BATCH):
            some = slice(start, start + BATCH)
            frame = self.stays[rows[some]].with_columns(pl.Series("drg", drg[some]))
            frame = self._with_codes(frame, rows[some], None if dropped is None else dropped[some])
            parts.append(pay(frame, self.hospitals, self.rates)["total_usd"].to_numpy())
        return np.concatenate(parts)

    def _with_codes(self, frame: pl.DataFrame, rows: Index, dropped: Index | None) -> pl.DataFrame:
        """Return stays with the secondary codes and procedures that the pricer reads; a null list is empty."""
        read = np.flatnonzero(self.reads)
        position, which = ranges(np.searchsorted(read, self.line.start), rows)
        place = read[position]
        if dropped is not None:
            left = (place[:, None] != dropped[which]).all(axis=1)
            place, which = place[left], which[left]
        for name, wanted in (("sdx", True), ("procedures", False)):
            some = self.line.is_sdx[place] == wanted
            lists = (
                pl.DataFrame({"row": which[some], name: self.codes.gather(place[some])})
                .group_by("row", maintain_order=True)
                .agg(name)
            )
            every = pl.DataFrame({"row": np.arange(len(rows))}).join(lists, on="row", how="left", maintain_order="left")
            frame = frame.with_columns(every[name])
        return frame


def _read(codes: pl.Series, line: Line, rates: Rates | Sequence[Rates]) -> Bools:
    """Return which codes can change a payment without changing the DRG, (m,)."""
    every = [rates] if isinstance(rates, Rates) else list(rates)
    diagnoses = {str(code) for one in every for code in _listed(one)}
    procedures: set[str] = set()
    for table in (one.technology_codes for one in every if one.technology_codes is not None):
        for kind, code in table.select("code_kind", "code").iter_rows():
            (procedures if kind == "procedure" else diagnoses).add(code)
    return np.where(line.is_sdx, _any_of(codes, diagnoses), _any_of(codes, procedures))


def _listed(rates: Rates) -> list[object]:
    names = ("case.covid_diagnoses", "case.no_cost_diagnoses")
    return [code for name in names for code in rates.listed(name)]


def _any_of(codes: pl.Series, known: set[str]) -> Bools:
    """Return which codes are known; a known code that ends in * is a prefix."""
    distinct = codes.unique().drop_nulls()
    whole = distinct.is_in([code for code in known if not code.endswith("*")])
    begun = [distinct.str.starts_with(code[:-1]) for code in known if code.endswith("*")]
    for found in begun:
        whole |= found
    return codes.is_in(distinct.filter(whole).implode()).fill_null(value=False).to_numpy()
