"""Admissions carried to another version: `convert_admissions()`.

What a code becomes is in `drgsim.tables.code_conversion`; here whole admissions are written in the codes of another
version, and where several candidates remain one is chosen, by its DRG if wanted.
"""

from __future__ import annotations

import os

import numpy as np
import polars as pl

from drgsim.editing.edit_reports import to_lists
from drgsim.exceptions import InputError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group
from drgsim.numerics.arrays import Int64Array
from drgsim.numerics.keyed_random import uniform
from drgsim.pricing.pricer_input import with_weights
from drgsim.rates.payment_rates import Rates
from drgsim.schema import ADMISSIONS, check_frame, normalise_codes
from drgsim.tables.code_conversion import convert_codes
from drgsim.tables.encoding import find_list_owners, find_list_starts, flatten_lists
from drgsim.tables.table_set import TableSet

CHOICES = ("leave", "first", "cheapest", "dearest", "weighted")
_FIELDS = {"pdx": "diagnosis", "sdx": "diagnosis", "procedures": "procedure"}
_STREAM = "converted code"


@accept_frames
def convert_admissions(
    admissions: pl.DataFrame,
    from_version: str,
    to_version: str,
    *,
    choose: str = "leave",
    rates: Rates | None = None,
    frequencies: pl.DataFrame | None = None,
    hospital_status: str = "NON_EXEMPT",
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write admissions in the codes of another version, and report the codes that change.

    A code with one candidate is replaced. A code with none, and one that is no code of `from_version`, stays as it
    is. A code with several is replaced as `choose` says. CMS prefers no candidate over another: which one is right is
    in the record, so the default invents nothing and leaves the code, which is then not valid; the report shows it.

    Args:
        admissions: (n,) rows of `schema.ADMISSIONS`; other columns pass through.
        from_version: the version whose codes they are, such as "43.1"; the tables run from 33.0 to 44.0.
        to_version: the version they are written for.
        choose: "leave"; "first" of the candidates, ascending; "cheapest" or "dearest", whose MS-DRG under
            `to_version` has the lowest or highest relative weight (an ungroupable one has 0; of equal ones the first);
            or "weighted", one drawn in proportion to `frequencies`. Codes of a claim are chosen one after the other,
            the principal diagnosis first; those not chosen yet are their first candidate.
        rates: what the relative weights of "cheapest" and "dearest" are taken from; by default the rates of the
            fiscal year of `to_version`.
        frequencies: (k,) `code`, `frequency`: how often a code is used. A code not listed is never drawn, unless none
            of a code's candidates is listed; by default all candidates are equally likely.
        hospital_status: POA reporting, as in `group`.
        seed: draws of "weighted" are keyed by it and by the admission.
        folder: a table folder of your own; by default the shipped one.

    Returns:
        The admissions, and a report with a row a code that is not the same in both versions: `admission_id`, `column`
        (pdx, sdx or procedures), `place` (from 0), `code`, `status`, `candidates`, `basis` (see `convert_codes`;
        "derived" is not CMS's) and `chosen`, null where the code was left.

    Raises:
        InputError: `choose` is not known.
        SchemaError: a column is missing or of the wrong type.
        UnknownVersionError: there are no tables of a version; grouping needs 36.0 or later.
        MissingRateError: there are no weights for the fiscal year of `to_version`; pass `rates`.

    >>> one = pl.DataFrame({"admission_id": [1], "age": [70], "sex": ["F"], "discharge_status": [1], "pdx": ["I42.0"],
    ...                     "sdx": [["I10"]], "procedures": [[]]})
    >>> converted, report = convert_admissions(one, "43.1", "44.0", choose="first")
    >>> converted["pdx"].item(), report.select("column", "code", "status", "chosen").row(0)
    ('I4200', ('pdx', 'I420', 'MANY', 'I4200'))
    """
    if choose not in CHOICES:
        raise InputError(f"choose is {choose!r}, expected one of {', '.join(CHOICES)}.{did_you_mean(choose, CHOICES)}")
    frame = check_frame(admissions, ADMISSIONS)
    changed = pl.concat(
        [_find_changed(frame, field, kind, from_version, to_version, folder) for field, kind in _FIELDS.items()]
    )
    many = pl.col("status") == "MANY"
    first = pl.when(many | (pl.col("status") == "ONE")).then(pl.col("candidates").list.first())
    if choose == "leave":
        changed = changed.with_columns(chosen=pl.when(~many).then(first))
    elif choose == "weighted":
        changed = _draw(changed.with_columns(chosen=first), frame, frequencies, seed)
    else:
        changed = changed.with_columns(chosen=first)
    if choose in ("cheapest", "dearest"):
        tables = TableSet.load(to_version, folder=folder)
        weigh = _Weigher(admissions, tables, rates or Rates.load(tables.fiscal_year, folder=folder), hospital_status)
        changed = weigh.choose(changed, highest=choose == "dearest")
    report = changed.select(
        pl.Series("admission_id", frame["admission_id"]).gather(changed["row"]), pl.exclude("row", "position")
    )
    return _replace(admissions, changed), report


def _find_changed(
    frame: pl.DataFrame,
    field: str,
    kind: str,
    from_version: str,
    to_version: str,
    folder: str | os.PathLike[str] | None,
) -> pl.DataFrame:
    """Return the codes of a column that change in the other version, with what they become."""
    texts, row, start = _flat(frame, field)
    distinct = texts.unique().drop_nulls().alias("text")
    codes = normalise_codes(distinct)
    table = convert_codes(codes, from_version, to_version, kind=kind, folder=folder).with_columns(distinct)
    positions = pl.DataFrame({"text": texts.alias("text"), "position": np.arange(len(texts)), "row": row})
    found = positions.join(table.filter(pl.col("status") != "SAME"), on="text", how="inner", maintain_order="left")
    place = found["position"].to_numpy() - start[found["row"].to_numpy()]
    return found.select(
        "row",
        "position",
        pl.lit(field).alias("column"),
        pl.Series("place", place, dtype=pl.Int32),
        "code",
        "status",
        "candidates",
        "basis",
    )


def _flat(frame: pl.DataFrame, field: str) -> tuple[pl.Series, Int64Array, Int64Array]:
    """Return the codes of a column end to end, the row of each, and where each row begins."""
    if field == "pdx":
        return frame[field], np.arange(len(frame)), np.arange(len(frame) + 1)
    start = find_list_starts(frame[field])
    return flatten_lists(frame[field]), find_list_owners(start).astype(np.int64), start


def _replace(admissions: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Return the admissions with the chosen codes in the place of those they replace."""
    frame, columns = check_frame(admissions, ADMISSIONS), []
    for field in _FIELDS:
        new = changed.filter(pl.col("chosen").is_not_null(), column=field)
        if not len(new):
            continue
        texts, _, start = _flat(frame, field)
        texts = texts.scatter(new["position"], new["chosen"]).alias(field)
        columns.append(texts if field == "pdx" else to_lists(texts.to_frame(), start)[field])
    return admissions.with_columns(columns)


def _draw(changed: pl.DataFrame, frame: pl.DataFrame, frequencies: pl.DataFrame | None, seed: int) -> pl.DataFrame:
    """Return the changed codes with one candidate drawn where there are several."""
    often = {} if frequencies is None else dict(frequencies.select("code", "frequency").iter_rows())
    many = (changed["status"] == "MANY").to_numpy().nonzero()[0]
    some = changed[many]
    # A slot a code of the claim: columns lie apart, so that no two draws of a claim share one.
    slots = (
        some["place"].to_numpy() * len(_FIELDS)
        + some["column"]
        .replace_strict({field: nth for nth, field in enumerate(_FIELDS)}, return_dtype=pl.Int64)
        .to_numpy()
    )
    ids = frame["admission_id"].gather(some["row"]).to_numpy()
    drawn = []
    for u, candidates in zip(uniform(seed, _STREAM, ids, slots), some["candidates"].to_list(), strict=True):
        shares = np.array([often.get(code, 0.0) for code in candidates], np.float64)
        shares = shares if shares.sum() > 0 else np.ones(len(candidates))
        drawn.append(candidates[int(np.searchsorted(np.cumsum(shares), u * shares.sum(), side="right"))])
    return changed.with_columns(chosen=changed["chosen"].scatter(many, pl.Series(drawn, dtype=pl.String)))


class _Weigher:
    """What chooses candidates by the relative weight of the DRG that the claim has with them."""

    def __init__(self, admissions: pl.DataFrame, tables: TableSet, rates: Rates, hospital_status: str) -> None:
        self.admissions, self.tables, self.rates = admissions, tables, rates
        self.hospital_status = hospital_status

    def weights(self, claims: pl.DataFrame) -> pl.Series:
        """Return the relative weight of each claim's DRG; 0 where it has none."""
        grouped = group(claims, self.tables, hospital_status=self.hospital_status)
        return with_weights(grouped, self.rates)["weight"].fill_null(0.0)

    def choose(self, changed: pl.DataFrame, *, highest: bool) -> pl.DataFrame:
        """Return the changed codes, each with the candidate of the lowest or highest weight."""
        changed = changed.with_row_index("number")
        many = changed.filter(status="MANY").with_columns(turn=pl.int_range(pl.len()).over("row"))
        for turn in range(int(many["turn"].to_numpy().max(initial=-1)) + 1):
            now = many.filter(turn=turn)
            variants = now.select("number", "row", option="candidates").explode("option").with_row_index("variant")
            others = changed.drop("candidates").join(variants, on="row", how="inner", suffix="_chosen")
            mine = pl.col("number") == pl.col("number_chosen")
            codes = others.with_columns(chosen=pl.when(mine).then("option").otherwise("chosen"))
            weight = self.weights(self._with_codes(variants["row"], codes))
            best = (
                variants.with_columns(weight=-weight if highest else weight)
                .sort("number", "weight", "variant")
                .unique("number", keep="first", maintain_order=True)
            )
            changed = changed.with_columns(
                chosen=changed["chosen"].scatter(best["number"].cast(pl.Int64), best["option"])
            )
        return changed.drop("number")

    def _with_codes(self, rows: pl.Series, codes: pl.DataFrame) -> pl.DataFrame:
        """Return a copy of admissions a variant, with the variant's codes."""
        claims = self.admissions[rows]
        frame, placed = check_frame(claims, ADMISSIONS), []
        for field in _FIELDS:
            _, _, start = _flat(frame, field)
            part = codes.filter(column=field)
            at = start[part["variant"].to_numpy()] + part["place"].to_numpy()
            placed.append(part.with_columns(position=pl.Series(at, dtype=pl.Int64)))
        return _replace(claims, pl.concat(placed))
