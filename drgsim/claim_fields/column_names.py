"""Names of columns of diagnoses, procedures and POA indicators as people have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from drgsim.claim_fields.code_cells import DX, PR, is_known_code
from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.exceptions import SchemaError

_ICD = r"(?:icd[_ ]?(?:9|10)?[_ ]?(?:cm|pcs)?[_ ]?)?"
_END = r"(?:[_ ]?(?:code|cd|no|num))?[_ .]?0*(\d+)(?:[_ ]?(?:code|cd))?"
_DX, _PR = "(?:dx|diag|dgns|diagnosis|diagnoses)", "(?:pr|px|proc|prcdr|procedure|procedures)"
_POA = "(?:poa|present[_ ]on[_ ]admission)"
_SECOND = r"(?:sdx|(?:sec|secondary|other|oth)[_ ]?" + _DX + ")"
NUMBERED: Mapping[str, re.Pattern[str]] = {
    "dx": re.compile(_ICD + _DX + _END, re.IGNORECASE),
    "pr": re.compile(_ICD + "(?:prin[_ ]?)?" + _PR + _END, re.IGNORECASE),
    "poa": re.compile(
        rf"(?:{_DX}[_ ]?)?{_POA}(?:[_ ]?(?:ind|indicator|flag|{_DX}))?[_ .]?0*(\d+)|{_DX}[_ ]?0*(\d+)[_ ]?{_POA}",
        re.IGNORECASE,
    ),
}
"""Columns of codes and POA indicators by number, from 0 or 1: `dx1`, `DX_01`, `diagnosis2`, `procedure_code_3`."""
SECONDARY: Mapping[str, re.Pattern[str]] = {
    "dx": re.compile(_SECOND + _END, re.IGNORECASE),
    "poa": re.compile(rf"{_SECOND}[_ ]?{_POA}[_ .]?0*(\d+)", re.IGNORECASE),
}
"""Columns of secondary diagnoses, numbered from 1 after the principal one: `sdx1`, `secondary_dx_2`."""
PRINCIPAL: Mapping[str, tuple[str, ...]] = {
    "pdx": (
        *("pdx", "principal_diagnosis", "principal_dx", "principal_diagnosis_code", "principal_diag", "prin_dx"),
        *("primary_diagnosis", "primary_dx", "primary_diagnosis_code", "principal_dx_code"),
    ),
    "pdx_poa": ("pdx_poa", "principal_poa", "principal_dx_poa", "poa_principal", "pdx_poa_indicator"),
}
"""Columns of the principal diagnosis and of its POA indicator."""
_SAMPLE = 200
_SHAPE = r"(?i)^(?:[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?|[0-9A-HJ-NP-Z]{7})$"
_MOSTLY = 0.8


def match_number(pattern: re.Pattern[str], name: str) -> int | None:
    """Return the number in a column's name; None where the name is of another kind.

    >>> match_number(NUMBERED["dx"], "Diagnosis_02"), match_number(NUMBERED["poa"], "dx1_poa")
    (2, 1)
    >>> match_number(NUMBERED["dx"], "dx_date1") is None
    True
    """
    match = pattern.fullmatch(name.strip())
    return int(next(group for group in match.groups() if group)) if match else None


def find_numbered(where: Path | str, columns: Iterable[str], kind: str) -> dict[int, str]:
    """Return the columns of one kind (`dx`, `pr`, `poa`), by ascending number.

    Raises:
        SchemaError: two columns have one number, or the first diagnosis is neither 0 nor 1.
    """
    found: dict[int, str] = {}
    for name in columns:
        number = match_number(NUMBERED[kind], name)
        if number is not None:
            if number in found:
                raise SchemaError(f"{where}: columns {found[number]} and {name} are both {kind}{number}; keep one.")
            found[number] = name
    if found and kind == "dx" and min(found) > 1:
        raise SchemaError(f"{where}: no principal diagnosis: found {list_names(found.values())} but no dx1.")
    return dict(sorted(found.items()))


def number_diagnoses(where: Path | str, columns: Sequence[str]) -> dict[str, str]:
    """Return new names where `pdx` comes with numbered others: dx1 for it, and dx2 on for them.

    The others are dx2, dx3, … as they are, or sdx1, sdx2, …; their POA indicators poa2, … or sdx_poa1, ….

    Raises:
        SchemaError: the others are numbered in two ways.
    """
    named = {
        kind: {name: number for name in columns if (number := match_number(pattern, name)) is not None}
        for kind, pattern in {**SECONDARY, "any": NUMBERED["dx"], "any poa": NUMBERED["poa"]}.items()
    }
    first = min(named["any"].values(), default=2)
    if "pdx" not in columns or first < 2 or not (named["dx"] or named["any"]):  # 0 or 1 is principal
        return {}
    if named["dx"] and (named["any"] or named["any poa"]):
        mixed = next(iter(named["any"] or named["any poa"]))
        raise SchemaError(f"{where}: holds both {next(iter(named['dx']))} and {mixed}; number all of them one way.")
    renamed = {"pdx": "dx1", **({"pdx_poa": "poa1"} if "pdx_poa" in columns else {})}
    start = min(named["dx"].values(), default=1)
    return renamed | {name: f"{kind}{n + 2 - start}" for kind in SECONDARY for name, n in named[kind].items()}


def report_code_columns(table: pl.DataFrame, problems: MappingProblems) -> None:
    """Report columns that are not read and hold codes, by a sample of their values.

    >>> problems = MappingProblems()
    >>> report_code_columns(pl.DataFrame({"comorb": ["J96.01", "I10"], "note": ["a", "b"]}), problems)
    >>> problems.report().rows()
    [('comorb', 'holds codes, not read; name it dx2, pr1 or the like', 2)]
    """
    for name, dtype in table.schema.items():
        if dtype != pl.String:
            continue
        sample = table[name].drop_nulls().head(_SAMPLE).unique()
        shaped = sample.str.strip_chars().str.contains(_SHAPE).sum()
        if len(sample) and shaped >= _MOSTLY * len(sample):
            known = sum(is_known_code(text, DX) or is_known_code(text, PR) for text in sample)
            if known >= _MOSTLY * len(sample):
                problems.report_file(name, "holds codes, not read; name it dx2, pr1 or the like", table[name].count())


def list_names(names: Iterable[str]) -> str:
    """Return names for a message, at most eight of them.

    >>> list_names(f"c{i}" for i in range(9))
    'c0, c1, c2, c3, c4, c5, c6, c7, … (9 columns)'
    """
    shown = list(names)
    return ", ".join(shown[:8]) + (f", … ({len(shown)} columns)" if len(shown) > 8 else "")  # as said
