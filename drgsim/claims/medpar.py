"""CMS's MedPAR file, one row a stay: `read_medpar(path)`.

Source of names: CCW data dictionary, MedPAR RIF (2012 and later), and the names of earlier years.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from drgsim.claim_fields.bill_rules import NOT_INPATIENT
from drgsim.claim_fields.column_mapping import ColumnMapping
from drgsim.claim_fields.mapping_report import Claims, MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.claims.own_columns import map_named_columns
from drgsim.exceptions import SchemaError

_NAMES = {
    "claim_id": ("MEDPAR_ID", "MEDPARID"),
    "patient_id": ("BENE_ID", "PATIENT_ID"),
    "hospital_id": ("PRVDR_NUM", "PRVDRNUM"),
    "age": ("BENE_AGE_CNT", "AGE_CNT"),
    "sex": ("BENE_SEX_CD", "SEX"),
    "admission_date": ("ADMSN_DT", "ADMSNDT"),
    "discharge_date": ("DSCHRG_DT", "DSCHRGDT"),
    "los_days": ("LOS_DAY_CNT", "LOSCNT"),
    "discharge_status": ("DSCHRG_DSTNTN_CD", "DSTNTNCD"),
    "ms_drg_recorded": ("DRG_CD", "DRGCD"),
    "covered_charges_usd": ("TOT_CVR_CHRG_AMT", "CVRCHRG", "CVRCHRGAMT"),
    "claim_type": ("NCH_CLM_TYPE_CD",),
    "dx": ("DGNS_{n}_CD", "DGNSCD{n}", "DGNS_CD{n}"),
    "poa": ("POA_DGNS_{n}_IND_CD", "POA_DGNS_IND_CD{n}"),
    "dx_version": ("DGNS_VRSN_CD_{n}",),
    "sdx": ("DGNS_E_{n}_CD",),
    "sdx_poa": ("POA_DGNS_E_{n}_IND_CD",),
    "pr": ("SRGCL_PRCDR_{n}_CD", "PRCDRCD{n}", "PRCDR_CD{n}"),
    "pr_version": ("SRGCL_PRCDR_VRSN_CD_{n}",),
}
_STAY = "SS_LS_SNF_IND_CD"
_LONG_STAY = "stay of a long-term care hospital, not paid under IPPS"


def is_medpar(columns: set[str]) -> bool:
    """Return whether column names in upper case are those of a MedPAR file.

    >>> is_medpar({"MEDPAR_ID", "DGNS_1_CD"}), is_medpar({"CLM_ID", "PRNCPAL_DGNS_CD"})
    (True, False)
    """
    return "MEDPAR_ID" in columns or {"DGNS_1_CD", "DSCHRG_DT"} <= columns


def read_medpar(path: Path) -> Claims:
    r"""Return the stays of a MedPAR file.

    The first diagnosis is the principal one; external causes follow the others; the admitting diagnosis is left out.
    Stays of skilled nursing facilities and of long-term care hospitals stay rows, with a flag. The length of stay is
    MedPAR's, which counts a stay within one day as 1. `discharge_status` is the discharge destination.

    Raises:
        InputError: the file cannot be read.
        SchemaError: it has no diagnoses under the names of MedPAR.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "medpar.csv"
    >>> header = "MEDPAR_ID,DGNS_1_CD,DGNS_2_CD,POA_DGNS_2_IND_CD,SRGCL_PRCDR_1_CD"
    >>> _ = path.write_text(f"{header}\n7,K810,J9601,Y,0FT44ZZ\n")
    >>> read_medpar(path).admissions.select("pdx", "sdx", "sdx_poa", "procedures").row(0)
    ('K810', ['J9601'], ['Y'], ['0FT44ZZ'])
    """
    problems = MappingProblems()
    return map_medpar(read_text_table(path, problems, str.upper), problems, path)


def map_medpar(table: pl.DataFrame, problems: MappingProblems, where: Path | str) -> Claims:
    """Return the stays of a table of texts with names in upper case: see `read_medpar`.

    Raises:
        SchemaError: as `read_medpar`.
    """
    mapping: dict[str, tuple[str, ...]] = {}
    for field, names in _NAMES.items():
        for name in names:
            if field not in mapping and not ColumnMapping({field: (name,)}).find_columns(table.columns)[1]:
                mapping[field] = (name,)
    if "dx" not in mapping:
        raise SchemaError(f"{where}: no MedPAR file: it lacks DGNS_1_CD to DGNS_25_CD.")
    if _STAY in table.columns:
        kind = table[_STAY].str.to_uppercase()
        problems.flag_where(_STAY, NOT_INPATIENT, kind == "N")
        problems.flag_where(_STAY, _LONG_STAY, kind == "L")
    admitting = [name for name in ("ADMTG_DGNS_CD", "ADMTG_DGNS_VRSN_CD") if name in table.columns]
    table = table.drop(admitting).with_columns(pl.all().cast(pl.String))
    return map_named_columns(table, ColumnMapping(mapping), problems, where=where, layout="medpar")
