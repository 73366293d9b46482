"""An export of 5,000 claims with 60 columns, as a hospital's analyst has it: `make_export(folder)`.

POA letters are glued to the codes, names are those of a billing system, dates are American, dollars have signs,
identifiers have leading zeros, the discharge status has a label, and columns that no grouper needs are between them.
"""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import polars as pl

from drgsim.synthetic.generator import generate
from drgsim.tables.table_set import TableSet

ROWS, DIAGNOSES, PROCEDURES = 5_000, 25, 10
LABELS = {1: "01 - Home", 3: "03 - SNF", 6: "06 - HHA", 20: "20 - Expired", 2: "02 - Short-term hospital"}
_PAYERS = ("Medicare A", "Medicare Adv", "BCBS", "Self Pay")


def make_clean(rows: int = ROWS) -> pl.DataFrame:
    """Return the admissions that the export is made of; at most 25 diagnoses and 10 procedures."""
    _, admissions = generate(rows, seed=11, tables=TableSet.load("43.1"))
    return admissions.with_columns(
        pl.col("sdx", "sdx_poa").list.head(DIAGNOSES - 1), pl.col("procedures").list.head(PROCEDURES)
    )


def make_rows(admissions: pl.DataFrame, seed: int = 5) -> pl.DataFrame:
    """Return the export as text, 60 columns."""
    random.seed(seed)
    rows = []
    for place, one in enumerate(admissions.iter_rows(named=True)):
        discharged = dt.date(2026, 1, 1) + dt.timedelta(days=place % 200)
        admitted = discharged - dt.timedelta(days=one["los_days"])
        birth = dt.date(admitted.year - one["age"], 1, 1)
        codes = [
            glue(code, letter)
            for code, letter in zip([one["pdx"], *one["sdx"]], [one["pdx_poa"], *one["sdx_poa"]], strict=True)
        ]
        rows.append(
            {
                "Patient Account": f"{place:09d}",
                "MRN": f"00{place * 7:07d}",
                "Facility CCN": "010001",
                "Facility Name": "General, Main Campus",
                "Patient DOB": f"{birth:%m/%d/%Y}",
                "Gender": {"M": "Male", "F": "Female"}.get(one["sex"], "Unknown"),
                "Zip": f"0{place % 9000 + 1000}",
                "Payer": _PAYERS[place % 4],
                "Payer Group": f"{place % 17:03d}",
                "Attending NPI": f"10{place % 900:08d}",
                "Admit Date": f"{admitted:%m/%d/%Y}",
                "Admit Type": "1",
                "Admit Source": "ER",
                "Admit Dx": dotted(one["pdx"]),
                "Disch Date": f"{discharged:%m/%d/%Y} 11:3{place % 10}",
                "Disch Disp": LABELS.get(one["discharge_status"], f"{one['discharge_status']:02d} - Other"),
                "Bill Type": "111",
                "Billed DRG": f"{place % 900:03d}",
                "Billed DRG Desc": "SOMETHING, W MCC",
                "DRG Weight": "1.2345",
                "Total Charges": f"${one['covered_charges_usd']:,.2f}",
                "Pharmacy Charges": "$1,234.00",
                "Service Line": "MED",
                "Coder": f"c{place % 12}",
                "Principal Dx": codes[0],
                **{f"Dx {n}": codes[n - 1] if n <= len(codes) else "" for n in range(2, DIAGNOSES + 1)},
                **{
                    f"ICD Proc {n}": one["procedures"][n - 1] if n <= len(one["procedures"]) else ""
                    for n in range(1, PROCEDURES + 1)
                },
                "Notes": "",
            }
        )
    return pl.DataFrame(rows)


def dotted(code: str) -> str:
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


def glue(code: str, letter: str | None) -> str:
    """Return a code with its POA letter glued on, in one of the ways that exports have."""
    if not letter:
        return dotted(code)
    forms = [f"{dotted(code)} ({letter})", f"{dotted(code)}-{letter}", f"{dotted(code)} {letter}"]
    # A digit right after a code may be a digit of another code, so no reader can tell it.
    return random.choice([*forms, f"{code}{letter}"] if letter.isalpha() else forms)


def make_export(folder: Path, rows: int = ROWS) -> tuple[Path, pl.DataFrame]:
    """Write the export as CSV; return its path and the admissions."""
    admissions = make_clean(rows)
    path = folder / "export.csv"
    make_rows(admissions).write_csv(path)
    return path, admissions
