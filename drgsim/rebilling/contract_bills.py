"""Admissions that contracts of payers price, to be priced again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import Int64Array
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.payer_pricing import ContractStays, read_statuses, split_by_payer


@dataclass(frozen=True, eq=False)
class ContractPart:
    """The admissions of one contract; `place` of every admission in it, -1 where another pays."""

    stays: ContractStays
    place: Int64Array
    has_codes: bool
    """Whether the payment depends on codes."""

    def price(self, place: Int64Array, drg: NDArray[np.integer], status: NDArray[np.uint16]) -> Int64Array:
        """Return the payment of admissions at these places under other DRGs and statuses [cents]."""
        stays = replace(self.stays.take(place), status=read_statuses(status.astype(np.int64)))
        return stays.price(drg.astype(np.int64)).total


def prepare_contracts(
    grouped: pl.DataFrame, hospitals: pl.DataFrame | None, terms: PriceTerms | None
) -> tuple[tuple[ContractPart, ...], list[str]]:
    """Return the admissions of each contract, and the codes on which their payment depends."""
    parts, codes = [], set()
    for contract, rows in (
        split_by_payer(grouped, terms).contracts if terms is not None and has_contracts(terms) else ()
    ):
        place = np.full(len(grouped), -1, np.int64)
        place[rows] = np.arange(len(rows))
        parts.append(ContractPart(ContractStays.of(grouped[rows], hospitals, contract), place, bool(contract.codes)))
        codes |= set(contract.codes)
    return tuple(parts), sorted(codes)
