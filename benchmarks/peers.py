"""The other groupers, each called as quickly as its own interface allows, on inputs made ready beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import polars as pl

from benchmarks.data import VERSION

Run = Callable[[], list[Any]]


@contextmanager
def msdrg_api(claims: pl.DataFrame) -> Iterator[Run]:
    """`msdrg` through its public API: a dictionary in, a dictionary out, one claim at a time."""
    import msdrg

    sexes = {"M": 0, "F": 1}
    inputs = [
        {
            "version": int(VERSION.replace(".", "")),
            "age": row["age"],
            "sex": sexes.get(row["sex"], 2),
            "discharge_status": row["discharge_status"],
            "pdx": {"code": row["pdx"]},
            # The API refuses indicators other than these five.
            "sdx": [
                {"code": code, "poa": poa if poa in ("Y", "N", "U", "W") else " "}
                for code, poa in zip(row["sdx"], row["sdx_poa"], strict=True)
            ],
            "procedures": [{"code": code} for code in row["procedures"]],
        }
        for row in claims.iter_rows(named=True)
    ]

    with msdrg.MsdrgGrouper() as grouper:
        yield lambda: [grouper.group(claim)["final_drg"] for claim in inputs]


@contextmanager
def msdrg_native(claims: pl.DataFrame) -> Iterator[Run]:
    """`msdrg`'s C function on two threads, JSON written beforehand and its answers not parsed."""
    from tests.oracle.native import group_raw, payloads

    documents = payloads(claims, VERSION)
    yield lambda: group_raw(documents, threads=2)


@contextmanager
def drgpy(claims: pl.DataFrame) -> Iterator[Run]:
    """`drgpy`: lists in, a DRG as text out."""
    from drgpy.msdrg import DRGEngine

    engine = DRGEngine(version=f"v{VERSION}")
    inputs = [
        (
            [row["pdx"], *row["sdx"]],
            row["procedures"],
            row["sex"],
            row["discharge_status"] != 20,
            ["Y", *(poa or "Y" for poa in row["sdx_poa"])],
            f"{row['discharge_status']:02d}",
        )
        for row in claims.iter_rows(named=True)
    ]
    yield lambda: [engine.get_drg(*arguments) for arguments in inputs]


@contextmanager
def drg(claims: pl.DataFrame) -> Iterator[Run]:
    """`drg`: code lists in, a pydantic result out."""
    from drg import MSDRGEngine

    engine = MSDRGEngine()
    inputs = [
        (row["pdx"], row["sdx"], row["procedures"], 65, row["sex"], f"{row['discharge_status']:02d}")
        for row in claims.iter_rows(named=True)
    ]
    engine.group(*inputs[0])  # loads its tables
    yield lambda: [engine.group(*arguments).drg_code for arguments in inputs]


PEERS: dict[str, tuple[str, Callable[[pl.DataFrame], AbstractContextManager[Run]]]] = {
    "msdrg API": ("msdrg", msdrg_api),
    "msdrg bare native call, 2 threads": ("msdrg", msdrg_native),
    "drgpy": ("drgpy", drgpy),
    "drg": ("drg", drg),
}
"""Name in the report: distribution to import, and what makes it ready."""
