"""What `group` promises on any input: rows, order, types, versions, hospital status, clear errors."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from drgsim import InputError, SchemaError, TableSet, UnknownVersionError, group, versions
from drgsim.schema import ADMISSIONS, DETAIL, GROUPED

TABLES = TableSet.load("43.1")


def with_codes(frame: pl.DataFrame, **columns: object) -> pl.DataFrame:
    return frame.with_columns(**{name: pl.Series([value]) for name, value in columns.items()})


def test_the_columns_and_types_are_the_contract(cholecystectomy: pl.DataFrame):
    grouped = group(cholecystectomy, TABLES)
    assert grouped.columns == [*cholecystectomy.columns, *GROUPED.names]
    assert all(grouped.schema[column.name] == column.dtype for column in GROUPED.columns)


def test_the_detail_is_the_contract(cholecystectomy: pl.DataFrame):
    detailed = group(cholecystectomy, TABLES, detail=True)
    assert detailed.columns == [*cholecystectomy.columns, *GROUPED.names, *DETAIL.names]
    assert all(detailed.schema[column.name] == column.dtype for column in DETAIL.columns)


@pytest.mark.parametrize("code", ["K81.0", "k810", " K810", "K810  ", "k81.0", "\tK81.0\n"])
def test_a_code_may_be_dotted_lower_case_and_padded(cholecystectomy: pl.DataFrame, code: str):
    dirty = with_codes(cholecystectomy, pdx=code, sdx=[" i10 ", "J96.01"], sdx_poa=["Y", "Y"], procedures=["0ft44zz "])
    clean = with_codes(cholecystectomy, sdx=["I10", "J9601"], sdx_poa=["Y", "Y"])
    assert group(dirty, TABLES).select(GROUPED.names).equals(group(clean, TABLES).select(GROUPED.names))
    assert group(clean, TABLES)["drg"].item() == 417


def test_unknown_codes_are_ignored_but_an_unknown_pdx_is_a_return_code(cholecystectomy: pl.DataFrame):
    with_unknown = with_codes(cholecystectomy, sdx=["I10", "NOPE", "", None], sdx_poa=["Y", "Y", "Y", "Y"])
    assert group(with_unknown, TABLES)["drg"].item() == 419
    unknown_pdx = group(with_codes(cholecystectomy, pdx="NOPE"), TABLES)
    assert unknown_pdx.select("drg", "mdc", "return_code").row(0) == (999, 0, "INVALID_PDX")


@pytest.mark.parametrize("column", ["pdx", "sdx", "procedures", "sex", "discharge_status", "age", "sdx_poa"])
def test_null_is_data(cholecystectomy: pl.DataFrame, column: str):
    frame = cholecystectomy.with_columns(pl.lit(None, cholecystectomy.schema[column]).alias(column))
    assert len(group(frame, TABLES)) == 1


@pytest.mark.parametrize("column", ["pdx", "sdx", "procedures", "sex", "discharge_status", "age", "sdx_poa"])
def test_an_all_null_column_without_type_is_data(cholecystectomy: pl.DataFrame, column: str):
    frame = cholecystectomy.with_columns(pl.lit(None).alias(column))
    assert len(group(frame, TABLES)) == 1


def test_an_empty_frame_gives_an_empty_frame(cholecystectomy: pl.DataFrame):
    for detail in (False, True):
        grouped = group(cholecystectomy.clear(), TABLES, detail=detail)
        assert grouped.shape[0] == 0
        assert set(GROUPED.names) <= set(grouped.columns)


def test_a_hundred_diagnoses_and_procedures(cholecystectomy: pl.DataFrame):
    many = with_codes(cholecystectomy, sdx=["I10"] * 99 + ["J9601"], sdx_poa=["Y"] * 100, procedures=["0FT44ZZ"] * 100)
    assert group(many, TABLES)["drg"].item() == 417


def test_extra_columns_pass_through_untouched(cholecystectomy: pl.DataFrame):
    extra = cholecystectomy.with_columns(note=pl.lit("ü"), nested=pl.lit({"a": [1]}))
    grouped = group(extra, TABLES)
    assert grouped.select(extra.columns).equals(extra)


def test_grouping_again_replaces_the_answer(cholecystectomy: pl.DataFrame):
    grouped = group(cholecystectomy, TABLES)
    again = group(grouped.with_columns(procedures=pl.lit([], pl.List(pl.String))), TABLES)
    assert again.columns == grouped.columns
    assert (grouped["drg"].item(), again["drg"].item()) == (419, 446)


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.Int64, pl.UInt32])
def test_any_integer_type_is_taken(cholecystectomy: pl.DataFrame, dtype: pl.DataType):
    frame = cholecystectomy.with_columns(pl.col("discharge_status", "age").cast(dtype))
    assert group(frame, TABLES)["drg"].item() == 419


def test_categorical_codes_are_taken(cholecystectomy: pl.DataFrame):
    frame = cholecystectomy.with_columns(
        pl.col("pdx").cast(pl.Categorical), pl.col("procedures").cast(pl.List(pl.Categorical))
    )
    assert group(frame, TABLES)["drg"].item() == 419


@pytest.mark.parametrize("status", [-5, 0, 99, 127, 300, 2**31 - 1])
def test_any_discharge_status_is_data(cholecystectomy: pl.DataFrame, status: int):
    assert group(with_codes(cholecystectomy, discharge_status=status), TABLES)["drg"].item() == 419
    birth = with_codes(cholecystectomy, discharge_status=status, pdx="Z3800", procedures=[])
    assert group(birth, TABLES)["return_code"].item() == "INVALID_DISCHARGE_STATUS"


# ------------------------------------------------------------------------------------ errors


def test_missing_columns_are_named(cholecystectomy: pl.DataFrame):
    with pytest.raises(SchemaError, match=r"admissions lack 2 columns: sex, pdx \(found 6 others\)\. See"):
        group(cholecystectomy.drop("pdx", "sex"), TABLES)


def test_a_misspelt_column_is_guessed(cholecystectomy: pl.DataFrame):
    with pytest.raises(SchemaError, match=r"lack 1 column: procedures .* Did you mean 'procedure'"):
        group(cholecystectomy.rename({"procedures": "procedure"}), TABLES)


def test_wrong_types_are_named(cholecystectomy: pl.DataFrame):
    with pytest.raises(SchemaError, match=r"sdx is String, expected List\(String\)"):
        group(cholecystectomy.with_columns(sdx=pl.lit("I10")), TABLES)


def test_a_lazy_frame_is_told_to_collect(cholecystectomy: pl.DataFrame):
    with pytest.raises(SchemaError, match=r"found LazyFrame; call \.collect\(\) first"):
        group(cholecystectomy.lazy(), TABLES)  # type: ignore[arg-type]


def test_poa_is_needed_or_said_not_to_be(cholecystectomy: pl.DataFrame):
    without = cholecystectomy.drop("sdx_poa")
    with pytest.raises(SchemaError, match=r"lack the column sdx_poa.*EXEMPT"):
        group(without, TABLES)
    assert group(without, TABLES, hospital_status="EXEMPT")["drg"].item() == 419


def test_unknown_hospital_status_is_an_error(cholecystectomy: pl.DataFrame):
    with pytest.raises(InputError, match="neither NON_EXEMPT, EXEMPT, UNKNOWN nor a column"):
        group(cholecystectomy, TABLES, hospital_status="SOMETIMES")
    with pytest.raises(SchemaError, match=r"column 'poa_status', row 0: no hospital status"):
        group(cholecystectomy.with_columns(poa_status=pl.lit("MAYBE")), TABLES, hospital_status="poa_status")


def test_tables_and_version_exclude_each_other(cholecystectomy: pl.DataFrame):
    with pytest.raises(InputError, match="not both"):
        group(cholecystectomy, TABLES, version="43.1")
    with pytest.raises(UnknownVersionError, match="neither a grouper version"):
        group(cholecystectomy, version="43.9")
    with pytest.raises(UnknownVersionError, match="discharge_date"):
        group(cholecystectomy)
    with pytest.raises(InputError, match=r"tables is '43.1', expected a TableSet; .* version='43.1'"):
        group(cholecystectomy, "43.1")  # type: ignore[arg-type]


@pytest.mark.parametrize("frame", [{}, None, pl.LazyFrame({"pdx": ["K810"]})], ids=["dict", "none", "lazy"])
def test_what_is_no_frame_is_told(frame: object):
    for how in ({"tables": TABLES}, {"version": "43.1"}, {"version": "column"}, {}):
        with pytest.raises(SchemaError, match="admissions must be a polars DataFrame"):
            group(frame, **how)  # type: ignore[arg-type]


def test_a_time_of_discharge_is_told_to_be_a_date(cholecystectomy: pl.DataFrame):
    frame = cholecystectomy.with_columns(at=dt.datetime(2026, 4, 1, 12))
    with pytest.raises(SchemaError, match=r"column 'at' is Datetime.*expected dates \(Date\)"):
        group(frame, version="at")


def test_a_bad_hospital_status_is_found_in_the_whole_frame(cholecystectomy: pl.DataFrame):
    frame = pl.concat([cholecystectomy] * 4).with_columns(
        v=pl.Series(["43.0", "43.1", "43.0", "43.1"]), poa=pl.Series(["EXEMPT"] * 3 + ["bad"])
    )
    with pytest.raises(SchemaError, match=r"column 'poa', row 3: no hospital status"):
        group(frame, version="v", hospital_status="poa")


# ------------------------------------------------------------------------------------ versions


def test_the_version_may_be_a_column(cholecystectomy: pl.DataFrame):
    frame = pl.concat([cholecystectomy] * len(versions())).with_columns(grouper=pl.Series(versions()))
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    grouped = group(shuffled, version="grouper")
    assert grouped["grouper"].equals(shuffled["grouper"])
    for version in versions():
        alone = group(shuffled.filter(grouper=version), version=version)
        assert grouped.filter(grouper=version).equals(alone)


def test_the_version_follows_the_discharge_date(cholecystectomy: pl.DataFrame):
    """A diagnosis new in October 2025 is no principal diagnosis the day before."""
    new = min({*TableSet.load("43.0").diagnoses["code"]} - {*TableSet.load("42.1").diagnoses["code"]})
    days = [dt.date(2025, 9, 30), dt.date(2025, 10, 1), dt.date(2018, 1, 1), None]
    frame = pl.concat([with_codes(cholecystectomy, pdx=new)] * 4).with_columns(
        discharge_date=pl.Series(days, dtype=pl.Date)
    )
    grouped = group(frame)
    assert grouped["return_code"].to_list()[0] == "INVALID_PDX"
    assert grouped["return_code"].to_list()[2:] == ["NO_GROUPER_VERSION"] * 2
    assert grouped["drg"].to_list()[2:] == [999, 999]
    assert grouped["drg"][1] == group(frame[1:2], version="43.0")["drg"].item() != 999
    assert group(frame[2:])["return_code"].to_list() == ["NO_GROUPER_VERSION"] * 2


def test_detail_over_versions_keeps_lists_aligned(cholecystectomy: pl.DataFrame):
    frame = pl.concat([cholecystectomy] * 3).with_columns(grouper=pl.Series(["43.1", "40.0", None]))
    grouped = group(frame, version="grouper", detail=True)
    assert grouped["sdx_impact"].to_list() == [["NONE"], ["NONE"], None]
    assert grouped["proc_impact"].to_list() == [["BOTH"], ["BOTH"], None]


def test_hospital_status_may_be_a_column(shared):
    claims = pl.read_parquet(shared / "claims/v431hac_claims.parquet").head(900)
    status = pl.Series("status", ["NON_EXEMPT", "EXEMPT", "UNKNOWN"] * 300)
    mixed = group(claims.with_columns(status), TABLES, hospital_status="status")
    for name in ("NON_EXEMPT", "EXEMPT", "UNKNOWN"):
        alone = group(claims, TABLES, hospital_status=name).with_columns(status)
        assert mixed.filter(status=name).equals(alone.filter(status=name).select(mixed.columns))


def test_shorter_poa_lists_leave_the_rest_unrecognised(cholecystectomy: pl.DataFrame):
    """T80.0XXA, air embolism, is a hospital-acquired condition: unless POA says otherwise it is an open question."""
    frame = with_codes(cholecystectomy, sdx=["I10", "T800XXA"], sdx_poa=["Y"])
    assert group(frame, TABLES)["return_code"].item() == "HAC_MISSING_ONE_POA"
    longer = with_codes(cholecystectomy, sdx=["I10", "T800XXA"], sdx_poa=["Y", "Y", "N", "N"])
    assert group(longer, TABLES)["return_code"].item() == "OK"


def test_every_contract_column_is_documented():
    assert all(column.about for column in (*ADMISSIONS.columns, *GROUPED.columns, *DETAIL.columns))
