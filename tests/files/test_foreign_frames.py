"""Verbs take pandas, Arrow and lists of dicts, and answer in kind, with the values of the Polars frame."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from importlib import import_module
from inspect import isclass, isfunction, signature

import polars as pl
import pytest

import drgsim
from drgsim import InputError, SchemaError, TableSet, generate, group, price
from drgsim.files.foreign_frames import accept_frames, to_polars
from drgsim.rates.payment_rates import Rates
from drgsim.review import compare_codings, worklist

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

NAMESPACES = (
    "pricing",
    "grouping",
    "editing",
    "synthetic",
    "miscoding",
    "simulation",
    "studies",
    "explanation",
    "compliance",
    "review",
    "plots",
    "claims",
    "scale",
    "tables",
)
# A frame of price steps without admissions, between two verbs of drgsim.
TAKE_POLARS = {"encode"}


@pytest.fixture(scope="module")
def made() -> tuple[pl.DataFrame, pl.DataFrame]:
    return generate(60, seed=3, tables=TableSet.load("43.1"))


def as_pandas(frame: pl.DataFrame):
    """Return a frame as an analyst has it in pandas: lists of Python, floats where a number is missing."""
    columns = {c.name: pd.Series(c.to_list(), dtype=object) if c.dtype.is_nested() else c.to_pandas() for c in frame}
    native = pd.DataFrame(columns)
    native.index = pd.Index([f"r{i}" for i in range(frame.height)])
    return native


def test_pandas_answers_in_pandas_with_the_same_values(made):
    hospitals, admissions = made
    expected = price(group(admissions, version="43.1"), hospitals, Rates.load(2026))
    native = as_pandas(admissions)
    native["note"] = pd.Series(["a"] * 60, index=native.index, dtype="category")
    grouped = group(native, version="43.1")
    assert isinstance(grouped, pd.DataFrame)
    assert list(grouped.index) == list(native.index)
    assert grouped["sdx"].iloc[0] is native["sdx"].iloc[0]
    assert grouped["note"].dtype == native["note"].dtype == "category"
    paid = price(grouped, as_pandas(hospitals), Rates.load(2026))
    assert paid["drg"].tolist() == expected["drg"].to_list()
    assert paid["total_usd"].tolist() == expected["total_usd"].to_list()
    assert paid["return_code"].astype(str).tolist() == expected["return_code"].cast(pl.String).to_list()


def test_floats_with_missing_values_are_whole_numbers(made):
    _, admissions = made
    missing = admissions.with_columns(age=pl.when(pl.int_range(pl.len()) > 0).then("age"))
    native = as_pandas(missing)
    assert native["age"].dtype == "float64"
    assert group(native, version="43.1")["drg"].tolist() == group(missing, version="43.1")["drg"].to_list()
    native.loc["r1", "age"] = 3.5
    with pytest.raises(SchemaError, match="age has fractions, expected whole numbers"):
        group(native, version="43.1")


def test_dates_of_pandas_choose_the_version(made):
    _, admissions = made
    native = as_pandas(admissions.with_columns(discharge_date=dt.date(2024, 5, 7)))
    native["discharge_date"] = pd.to_datetime(native["discharge_date"])
    expected = group(admissions, version="41.1")["drg"].to_list()
    assert group(native)["drg"].tolist() == expected


def test_arrow_answers_in_arrow(made):
    _, admissions = made
    grouped = group(admissions.to_arrow(), version="43.1")
    assert isinstance(grouped, pa.Table)
    assert grouped["drg"].to_pylist() == group(admissions, version="43.1")["drg"].to_list()


def test_lists_of_dicts_answer_in_lists_of_dicts():
    row = {"admission_id": 2**63 + 7, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0", "sdx": ["J96.01"]}
    rows = [
        {**row, "procedures": ["0FT44ZZ"], "discharge_date": "2026-01-15"},
        {**row, "admission_id": 2, "sdx": ["I10"]},
    ]
    grouped = group(rows, version="43.1", hospital_status="EXEMPT")
    assert [one["drg"] for one in grouped] == [417, 446]
    assert grouped[0]["admission_id"] == 2**63 + 7
    assert grouped[0]["discharge_date"] == dt.date(2026, 1, 15)


def test_the_kind_of_the_first_frame_decides(made):
    hospitals, admissions = made
    grouped = group(admissions, version="43.1")
    assert isinstance(price(grouped, as_pandas(hospitals), Rates.load(2026)), pl.DataFrame)
    assert isinstance(price(as_pandas(grouped), hospitals, Rates.load(2026)), pd.DataFrame)


def test_review_takes_pandas(made):
    hospitals, admissions = made
    tables, rates = TableSet.load("43.1"), Rates.load(2026)
    given = {"tables": tables, "hospitals": hospitals, "rates": rates}
    other = admissions.with_columns(sdx=pl.col("sdx").list.head(1), sdx_poa=pl.col("sdx_poa").list.head(1))
    compared = compare_codings(as_pandas(admissions), as_pandas(other), **given | {"hospitals": as_pandas(hospitals)})
    assert compared.summary().equals(compare_codings(admissions, other, **given).summary())
    found = worklist(as_pandas(admissions), **given)
    assert isinstance(found, pd.DataFrame)
    assert found["expected_usd"].to_list() == worklist(admissions, **given)["expected_usd"].to_list()


def test_missing_numbers_stay_whole_in_pandas():
    answer = accept_frames(lambda frame: pl.DataFrame({"n": [1, None], "b": [True, None]}))(pd.DataFrame({"x": [1, 2]}))
    assert answer["n"].dtype == "Int64"
    assert answer["b"].dtype == "boolean"


def test_mixed_columns_are_named_and_no_cell_is_shown():
    with pytest.raises(SchemaError, match=r"column mrn has values of several types \(int, str\)") as caught:
        group(pd.DataFrame({"pdx": ["I10", "I10"], "mrn": pd.Series([5551234, "MRN-7"], dtype=object)}))
    assert "MRN-7" not in str(caught.value)
    with pytest.raises(SchemaError, match=r"column age has values of several types \(int, str\)"):
        group([{"age": 5}, {"age": "five"}])


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    frame = pd.DataFrame({"pdx": pd.Series(["I10"], dtype=object)})
    monkeypatch.setattr(pl, "from_pandas", refuse)
    monkeypatch.setattr("narwhals._pandas_like.dataframe.PandasLikeDataFrame.to_polars", refuse)
    with pytest.raises(InputError, match=r"a pandas frame needs pyarrow.*pip install 'drgsim\[pandas\]'"):
        to_polars(frame)


def refuse(*_: object, **__: object):
    raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")


def test_a_lazy_frame_is_refused():
    with pytest.raises(SchemaError, match=r"call \.collect\(\) first"):
        group(pl.LazyFrame({"pdx": ["I10"]}))


def test_nothing_is_imported_for_polars_frames():
    program = (
        "import sys, polars as pl\nfrom drgsim import group\nframe = pl.DataFrame({'admission_id': [1], 'age': [54], "
        "'sex': ['F'], 'discharge_status': [1], 'pdx': ['K81.0'], 'sdx': [['I10']], 'procedures': [['0FT44ZZ']]})\n"
        "group(frame, version='43.1', hospital_status='EXEMPT')\n"
        "print(sorted({'narwhals', 'pandas', 'pyarrow', 'fastexcel'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_verb_that_takes_a_frame_takes_those_of_other_libraries():
    found, lacking = 0, []
    for namespace in ("drgsim", *(f"drgsim.{name}" for name in NAMESPACES)):
        module = import_module(namespace)
        for name in module.__all__:
            verb = getattr(module, name)
            if isclass(verb) or not isfunction(verb) or name in TAKE_POLARS:
                continue
            taken = [p for p in signature(verb).parameters.values() if "DataFrame" in str(p.annotation)]
            lacking += [f"{namespace}.{name}"] if taken and not hasattr(verb, "__wrapped__") else []
            found += bool(taken)
    assert not lacking
    assert found > 20
    assert drgsim.group.__name__ == "group"
