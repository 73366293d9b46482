"""CMS Research Identifiable Files, inpatient: `read_rif(path)`.

One row a claim (ResDAC's base file) or one a revenue line (files of the Beneficiary FHIR Data server), separated by
bars, commas or tabs. Column names: CCW data dictionary, Inpatient Fee-for-Service file; older names are read too.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl

from drgsim.claim_fields.assembly import build_claims, report_unmapped_columns
from drgsim.claim_fields.bill_rules import flag_bills
from drgsim.claim_fields.code_cells import DX, PR, normalise_clean_codes
from drgsim.claim_fields.code_lists import collect_wide_codes
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.exceptions import SchemaError

_LINE, _LINES = "CLM_LINE_NUM", re.compile(r"CLM_LINE_NUM|REV_CNTR.*|HCPCS_.*|RNDRNG_.*")
_PRINCIPAL, _PRINCIPAL_REVISION = "PRNCPAL_DGNS_CD", "PRNCPAL_DGNS_VRSN_CD"
_ALIASES = {
    "claim_id": ("CLM_ID",),
    "patient_id": ("BENE_ID", "DSYSRTKY"),
    "hospital_id": ("PRVDR_NUM", "PROVIDER"),
    "discharge_status": ("PTNT_DSCHRG_STUS_CD", "STUS_CD"),
    "discharge_date": ("NCH_BENE_DSCHRG_DT", "DSCHRGDT"),
    "statement_through": ("CLM_THRU_DT", "THRU_DT"),
    "admission_date": ("CLM_ADMSN_DT", "ADMSN_DT"),
    "statement_from": ("CLM_FROM_DT", "FROM_DT"),
    "covered_charges_usd": ("CLM_TOT_CHRG_AMT", "TOT_CHRG"),
    "noncovered_charges_usd": ("NCH_IP_NCVRD_CHRG_AMT", "NCCHGAMT"),
    "ms_drg_recorded": ("CLM_DRG_CD", "DRG_CD"),
    "sex": ("GNDR_CD", "BENE_SEX_IDENT_CD"),
    "birth_date": ("DOB_DT", "BENE_BIRTH_DT"),
}
_BILLS = {
    "claim_type": ("NCH_CLM_TYPE_CD", "CLM_TYPE"),
    "frequency": ("CLM_FREQ_CD", "FREQ_CD"),
    "final_action": ("FINAL_ACTION",),
}
_CLASS = ("CLM_FAC_TYPE_CD", "CLM_SRVC_CLSFCTN_TYPE_CD")
_KEPT = ("CLM_FREQ_CD", "FREQ_CD", "FINAL_ACTION", *_CLASS)
"""Columns that rules read and that stay in the result."""
_NUMBERED = {
    "dx": (r"ICD_DGNS_CD(\d+)", r"CLM_POA_IND_SW(\d+)", r"ICD_DGNS_VRSN_CD(\d+)"),
    "external": (r"ICD_DGNS_E_CD(\d+)", r"CLM_E_POA_IND_SW(\d+)", r"ICD_DGNS_E_VRSN_CD(\d+)"),
    "pr": (r"ICD_PRCDR_CD(\d+)", None, r"ICD_PRCDR_VRSN_CD(\d+)"),
}
_COPIES = ("FST_DGNS_E_CD", "FST_DGNS_E_VRSN_CD", "ADMTG_DGNS_CD", "ADMTG_DGNS_VRSN_CD")


def read_rif(path: Path) -> Claims:
    r"""Return the claims of an inpatient RIF file.

    The principal diagnosis is PRNCPAL_DGNS_CD, with the POA indicator of its copy in ICD_DGNS_CD1 to 25. The other
    codes there, then external causes (ICD_DGNS_E_CD1 to 12), are secondary. Charges are total less non-covered. The
    length of stay is counted from day of admission to day of discharge, 0 where they are the same. The revenue lines of
    a claim become one row without the columns of lines. The admitting diagnosis is left out.

    Raises:
        InputError: the file cannot be read.
        SchemaError: it lacks CLM_ID or PRNCPAL_DGNS_CD.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "inpatient.csv"
    >>> _ = path.write_text("CLM_ID|PRNCPAL_DGNS_CD|ICD_DGNS_CD1|CLM_POA_IND_SW1|ICD_DGNS_CD2\n7|K810|K810|Y|I10\n")
    >>> read_rif(path).admissions.select("pdx", "pdx_poa", "sdx").row(0)
    ('K810', 'Y', ['I10'])
    """
    lines = MappingProblems()
    return map_rif(read_text_table(path, lines, str.upper, compact=True, select=_select_columns), lines, path)


def map_rif(table: pl.DataFrame, lines: MappingProblems, where: Path | str) -> Claims:
    """Return the claims of texts in the columns of RIF, in upper case: see `read_rif`.

    Args:
        table: (n,) texts, null where blank; a row a claim or a revenue line.
        lines: problems found so far, of rows of the table.
        where: the file, named in errors.

    Raises:
        SchemaError: as `read_rif`.
    """
    problems = MappingProblems()
    named = {ours: next((name for name in names if name in table.columns), None) for ours, names in _ALIASES.items()}
    if named["claim_id"] is None or _PRINCIPAL not in table.columns:
        raise SchemaError(
            f"{where}: no inpatient RIF file: it lacks {'CLM_ID' if _PRINCIPAL in table.columns else _PRINCIPAL}."
        )
    if _LINE in table.columns:
        problems.report_counts(lines)
    else:
        problems = lines
    table = _fold_revenue_lines(table, problems)
    numbered = {kind: _find_numbered(table, *names) for kind, names in _NUMBERED.items()}
    mapped = [*filter(None, named.values()), _PRINCIPAL, _PRINCIPAL_REVISION, *_COPIES]
    mapped += [name for columns in numbered.values() for column in columns for name in column if name]
    found = {ours: next((name for name in names if name in table.columns), None) for ours, names in _BILLS.items()}
    bills = {ours: name for ours, name in found.items() if name}
    values = table.select(pl.col(name).cast(pl.String).alias(ours) for ours, name in bills.items())
    if {*_CLASS} <= {*table.columns}:
        bills["facility_class"] = " and ".join(_CLASS)
        values = values.hstack([table.select(pl.concat_str(*_CLASS).alias("facility_class")).to_series()])
    flag_bills(values, bills, problems)
    mapped += [name for name in (*found.values(), *_CLASS) if name and name in table.columns and name not in _KEPT]
    known = {ours: name for ours, name in named.items() if name}
    stays = table.select(pl.col(name).cast(pl.String).alias(ours) for ours, name in known.items())
    stays = stays.hstack(report_unmapped_columns(table, mapped, problems))
    of_codes = _list_code_columns(numbered)
    coded = table.select([table[name] for name in table.columns if name in of_codes])
    del table

    def make_codes(start: int, count: int, own: MappingProblems) -> pl.DataFrame:
        return _build_codes(coded.slice(start, count), numbered, own)

    return build_claims("rif", stays, make_codes, problems)


# ---------------------------------------------------------------------------------------------- rows


def _select_columns(names: list[str]) -> list[str]:
    """Return the columns to read: all but those of revenue lines, where rows are lines."""
    return [name for name in names if name == _LINE or not _LINES.fullmatch(name)] if _LINE in names else names


def _fold_revenue_lines(table: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return one row a claim from one row a revenue line, in the order of first lines."""
    if _LINE not in table.columns:
        return table
    of_claim = [name for name in table.columns if not _LINES.fullmatch(name)]
    if table["CLM_ID"].null_count() == 0 and table["CLM_ID"].is_unique().all():
        return table.select(of_claim)
    identified = pl.coalesce("CLM_ID", pl.format("row {}", pl.int_range(pl.len()))).alias("_claim")
    lines = table.select(identified, *of_claim)
    claims = lines.unique("_claim", keep="first", maintain_order=True)
    # A row is known by its hash: equal rows have equal ones.
    hashes = lines.select("_claim", hash=lines.cast(pl.String).hash_rows())
    differing = hashes.unique().group_by("_claim").len().filter(pl.col("len") > 1)
    problems.report_file(_LINE, "revenue lines, of each claim the first taken", table.height - claims.height)
    problems.flag_where(
        "claim_id",
        "lines of the claim disagree, the first taken",
        claims["_claim"].is_in(differing["_claim"].implode()),
    )
    return claims.drop("_claim")


# ---------------------------------------------------------------------------------------------- codes


def _list_code_columns(numbered: dict[str, list[tuple[str, str | None, str | None]]]) -> set[str]:
    """Return the columns of codes, POA indicators and revisions."""
    names = {name for columns in numbered.values() for column in columns for name in column if name}
    return names | {_PRINCIPAL, _PRINCIPAL_REVISION}


def _find_numbered(
    table: pl.DataFrame, code: str, poa: str | None, icd: str
) -> list[tuple[str, str | None, str | None]]:
    """Return the columns of codes, POA indicators and revisions, by ascending number."""

    def number_columns(pattern: str | None) -> dict[int, str]:
        found = {name: re.fullmatch(pattern, name) for name in table.columns} if pattern else {}
        return {int(match.group(1)): name for name, match in found.items() if match}

    codes, letters, revisions = (number_columns(pattern) for pattern in (code, poa, icd))
    return [(codes[n], letters.get(n), revisions.get(n)) for n in sorted(codes)]


def _build_codes(
    table: pl.DataFrame, numbered: dict[str, list[tuple[str, str | None, str | None]]], problems: MappingProblems
) -> pl.DataFrame:
    """Return all codes; the principal diagnosis replaces its copy in the list."""
    principal = collect_wide_codes(table, DX, [(_PRINCIPAL, None, _PRINCIPAL_REVISION)])
    listed = collect_wide_codes(table, DX, numbered["dx"])
    place = np.full(table.height, -1, np.int64)
    place[principal["row"].to_numpy()] = np.arange(principal.height)
    of_code = place[listed["row"].to_numpy()]
    normal = normalise_clean_codes(principal["code"])
    pdx = (
        normal.gather(np.maximum(of_code, 0)) if principal.height else pl.Series([""] * listed.height, dtype=pl.String)
    )
    lines = np.flatnonzero((normalise_clean_codes(listed["code"]) == pdx).to_numpy() & (of_code >= 0))
    # Codes are in the order of their numbers, so the first copy of a row has the lowest number.
    copy = listed[lines].with_columns(line=pl.Series(lines)).unique("row", keep="first", maintain_order=True)
    unlisted = principal.join(copy, on="row", how="anti", maintain_order="left")
    problems.flag_rows("pdx", "not among ICD_DGNS_CD1 to 25, POA unknown", unlisted["row"])
    problems.flag_rows("pdx", "not the first of ICD_DGNS_CD1 to 25", copy.filter(pl.col("sequence") > 1)["row"])
    is_principal = np.zeros(listed.height, np.bool_)
    is_principal[copy["line"].to_numpy()] = True
    last = listed.group_by("row").agg(last=pl.col("sequence").max())
    # An unlisted principal diagnosis gets number 0; external causes continue after the last number.
    external = collect_wide_codes(table, DX, numbered["external"]).join(
        last, on="row", how="left", maintain_order="left"
    )
    return pl.concat(
        [
            unlisted.with_columns(principal=True, sequence=pl.lit(0, pl.Int64)),
            listed.with_columns(principal=is_principal),
            external.with_columns(pl.col("sequence") + pl.col("last").fill_null(0)).drop("last"),
            collect_wide_codes(table, PR, numbered["pr"]),
        ]
    )
