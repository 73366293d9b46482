"""Claims as billed, made from the ledger of a simulation: the truth that a comparison should find again."""

from __future__ import annotations

from collections import defaultdict

import polars as pl


def bill_from_ledger(admissions: pl.DataFrame, ledger: pl.DataFrame) -> pl.DataFrame:
    """Return admissions with the errors of one replicate; a mistyped code becomes a text that is no code."""
    by_id = defaultdict(list)
    for error in ledger.iter_rows(named=True):
        by_id[error["admission_id"]].append(error)
    rows = []
    for row in admissions.iter_rows(named=True):
        sdx: list[str | None] = list(row["sdx"])
        poa, procedures = list(row["sdx_poa"]), list(row["procedures"])
        gone: set[int] = set()
        gone_procedures: set[int] = set()
        added, added_procedures = [], []
        for error in by_id[row["admission_id"]]:
            place, after, mistyped = error["place"], error["code_after"], error["error"] == "invalid_code"
            if error["error"] == "pdx_resequence":
                row["pdx"], sdx[place], poa[place] = sdx[place], row["pdx"], "Y"
            elif error["field"] == "pdx":
                row["pdx"] = row["pdx"] + "?" if mistyped else after
            elif error["field"] == "sdx" and not error["code_before"]:
                added.append(after)
            elif error["field"] == "sdx" and mistyped:
                sdx[place] = f"{sdx[place]}?"
            elif error["field"] == "sdx" and not after:
                gone.add(place)
            elif error["field"] == "sdx":
                sdx[place] = after
            elif error["field"] == "sdx_poa":
                poa[place] = after
            elif error["field"] == "procedures" and not error["code_before"]:
                added_procedures.append(after)
            elif error["field"] == "procedures" and mistyped:
                procedures[place] = f"{procedures[place][:-1]}?"
            elif error["field"] == "procedures" and not after:
                gone_procedures.add(place)
            elif error["field"] == "procedures":
                procedures[place] = after
            else:
                row[error["field"]] = int(after) if error["field"] in ("discharge_status", "age") else after
        row["sdx"] = [code for place, code in enumerate(sdx) if place not in gone] + added
        row["sdx_poa"] = [letter for place, letter in enumerate(poa) if place not in gone] + ["Y"] * len(added)
        kept = [code for place, code in enumerate(procedures) if place not in gone_procedures]
        row["procedures"] = kept + added_procedures
        rows.append(row)
    return pl.DataFrame(rows, schema=admissions.schema, orient="row")
