"""Billed against computed DRG: what each account would be paid, and why the two may differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl

from drgsim.display import PrintedReport, Section
from drgsim.exceptions import SchemaError
from drgsim.explanation.code_values import code_value
from drgsim.explanation.explanations import REASONS
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group
from drgsim.grouping.version_rows import split_by_version
from drgsim.pricing.contracts import PriceTerms
from drgsim.review.review_inputs import (
    carry_columns,
    choose_status,
    price_drgs,
    require_columns,
    require_rates,
)
from drgsim.schema import ADMISSIONS, INTEGERS, check_frame, normalise_codes
from drgsim.tables.encoding import flatten_lists
from drgsim.tables.table_set import TableSet, versions

Agreement = pl.Enum(["equal", "other severity", "other family", "ungroupable", "no billed DRG"])
"""How a billed DRG agrees with the computed one; `other severity` is another DRG of the same family."""
_DIFFERS = ("other severity", "other family", "ungroupable")
_SHOWN = 10
_DECIDES = ("FINAL", "BOTH")


@dataclass(frozen=True, eq=False, repr=False)
class DrgValidation(PrintedReport):
    """Billed and computed DRG of each account, and why they may differ: data that also prints.

    Attributes:
        accounts: (n,) one row an account, largest difference first: `admission_id`; `billed_drg`, `billed_title`,
            `computed_drg`, `computed_title`; `agreement`; `billed_weight`, `computed_weight` [1]; `billed_usd`,
            `computed_usd` and `usd_difference`, billed minus computed [USD]; `deciding_codes`, the codes that
            decided the computed DRG; `reasons`, why the two may differ; `version`; then the columns carried through.
        priced: whether there are dollars.

    >>> from drgsim import Rates
    >>> one = {"admission_id": [7], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...        "sdx": [["I10"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]], "billed_drg": [418]}
    >>> found = validate_drgs(pl.DataFrame(one), tables=TableSet.load("43.1"), rates=Rates.load(2026))
    >>> found.accounts.select("computed_drg", "agreement", "deciding_codes").row(0)
    (419, 'other severity', ['K810', '0FT44ZZ'])
    """

    accounts: pl.DataFrame = field(repr=False)
    priced: bool

    def differing(self) -> pl.DataFrame:
        """Return the accounts whose billed and computed DRG differ, largest difference first."""
        return self.accounts.filter(pl.col("agreement").is_in(_DIFFERS))

    def summary(self) -> pl.DataFrame:
        """Return agreement in numbers, a row for each way to agree, then "total".

        Returns:
            `agreement`, `accounts`, `share` of the accounts with a billed DRG [1]; with dollars `billed_usd`,
            `computed_usd`, `overpaid_usd` (billed above computed), `underpaid_usd`, both not negative, and `net_usd`
            [USD].
        """
        has_both = pl.col("agreement") != "no billed DRG"
        sums = [pl.len().alias("accounts"), has_both.sum().alias("_both")]
        if self.priced:
            difference = pl.col("usd_difference").fill_null(0.0)
            sums += [
                _sum_usd(pl.col("billed_usd").filter(has_both)).alias("billed_usd"),
                _sum_usd(pl.col("computed_usd").filter(has_both)).alias("computed_usd"),
                _sum_usd(difference.clip(lower_bound=0)).alias("overpaid_usd"),
                _sum_usd((-difference).clip(lower_bound=0)).alias("underpaid_usd"),
                _sum_usd(difference).alias("net_usd"),
            ]
        each = self.accounts.group_by(pl.col("agreement").cast(pl.String)).agg(sums)
        order = pl.DataFrame({"agreement": Agreement.categories})
        each = order.join(each, on="agreement", how="inner", maintain_order="left")
        total = self.accounts.select(pl.lit("total").alias("agreement"), *sums)
        table = pl.concat([each, total])
        compared = total["_both"].item()
        share = pl.when(pl.col("_both") > 0).then(pl.col("_both") / compared) if compared else pl.lit(None, pl.Float64)
        return table.with_columns(share=share).select("agreement", "accounts", "share", pl.col("^.*_usd$"))

    def reasons(self) -> pl.DataFrame:
        """Return how often each reason is given: `reason`, `accounts`, `usd_difference`."""
        each = self.accounts.explode("reasons", empty_as_null=True, keep_nulls=True).drop_nulls("reasons")
        usd = [_sum_usd(pl.col("usd_difference").fill_null(0.0)).alias("usd_difference")] if self.priced else []
        reason = pl.col("reasons").str.split(":").list.first().alias("reason")
        table = each.group_by(reason).agg(pl.col("admission_id").n_unique().alias("accounts"), *usd)
        return table.sort("accounts", "reason", descending=[True, False])

    def _build_report(self) -> tuple[str, list[Section]]:
        total = self.summary().row(-1, named=True)
        heading = f"Billed against computed DRG: {total['accounts']:,} accounts"
        summary = self.summary()
        rows = tuple(tuple(_write_cell(value) for value in row) for row in summary.rows())
        sections = [Section("Agreement", (), tuple(summary.columns), rows, numbers=True)]
        names = ["admission_id", "billed_drg", "computed_drg", *(["usd_difference"] if self.priced else []), "reasons"]
        lines = tuple(
            tuple(_write_cell(value) for value in row) for row in self.differing().head(_SHOWN).select(names).rows()
        )
        sections.append(Section("Largest differences", (), tuple(names), lines))
        return heading, sections


@accept_frames
def validate_drgs(
    claims: pl.DataFrame,
    billed: str = "billed_drg",
    *,
    tables: TableSet | None = None,
    hospitals: pl.DataFrame | None = None,
    rates: PriceTerms | None = None,
    hospital_status: str | None = None,
) -> DrgValidation:
    """Compare the billed DRG of each account with the one its codes lead to, in dollars.

    Both DRGs are priced for the same stay, so the difference is that of the DRG alone. For accounts that differ the
    result names the codes that decided, and looks for a reason: another grouper version, codes that are not valid,
    an invalid principal diagnosis, POA, a single code without which the billed DRG follows, or a secondary diagnosis
    that leads to it as principal one.

    Args:
        claims: (n,) `schema.ADMISSIONS` with the billed DRG; with hospitals what `price` needs.
        billed: the column of billed DRGs, whole numbers or texts such as "0470"; null where there is none.
        tables: the version of all claims; None chooses by `discharge_date`.
        hospitals: `schema.HOSPITALS`; with None the dollars are weight times a base rate.
        rates: as `price` takes them; with None there are no weights and no dollars.
        hospital_status: as in `group`; None means NON_EXEMPT if the claims have POA, else EXEMPT.

    Returns:
        A `DrgValidation`: `accounts`, `differing()`, `summary()`, `reasons()`.

    Raises:
        SchemaError: there is no such column, or as `group` and `price`.
        InputError: hospitals without rates, or no tables and no discharge dates.

    >>> from drgsim import Rates
    >>> one = {"admission_id": [7], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K81.0"],
    ...        "sdx": [["J96.01"]], "sdx_poa": [["Y"]], "procedures": [["0FT44ZZ"]], "billed_drg": [419]}
    >>> found = validate_drgs(pl.DataFrame(one), tables=TableSet.load("43.1"), rates=Rates.load(2026))
    >>> found.accounts.select("computed_drg", "usd_difference").row(0), found.accounts["reasons"].to_list()[0][0]
    ((417, -7426.66), 'lower severity billed: MCC from J9601')
    """
    require_columns(claims, [billed], "claims")
    require_rates(hospitals, rates)
    status = choose_status(claims, hospital_status)
    asked = _read_drgs(claims[billed])
    check_frame(claims, ADMISSIONS)
    parts = []
    for own, rows in split_by_version(claims, tables):
        part = _validate_part(claims[rows], asked.gather(rows), own, status)
        parts.append(part.with_columns(_row=pl.Series(rows)))
    left = np.setdiff1d(np.arange(len(claims)), np.concatenate([np.zeros(0, int), *(p["_row"] for p in parts)]))
    if len(left) or not parts:
        parts.append(_describe_without_version(len(left), asked.gather(left)).with_columns(_row=pl.Series(left)))
    table = pl.concat(parts, how="diagonal_relaxed").sort("_row").drop("_row")
    if rates is not None:
        table = _add_dollars(table, claims, hospitals, rates)
    table = pl.concat(
        [claims.select("admission_id"), table, carry_columns(claims, (billed, *table.columns))], how="horizontal"
    )
    largest = [pl.col("usd_difference").abs()] if rates is not None else []
    order = [*largest, (pl.col("agreement").is_in(_DIFFERS)).cast(pl.Int8)]
    table = table.sort(*order, "admission_id", descending=[*[True] * len(order), False], nulls_last=True)
    first = ["admission_id", *_ACCOUNT[:5], *(_MONEY if rates is not None else ()), *_ACCOUNT[5:]]
    return DrgValidation(table.select(*first, pl.all().exclude(first)), rates is not None)


# ---------------------------------------------------------------------------------------------------------

_ACCOUNT = (
    *("billed_drg", "billed_title", "computed_drg", "computed_title", "agreement"),
    *("deciding_codes", "reasons", "version"),
)
_MONEY = ("billed_weight", "computed_weight", "billed_usd", "computed_usd", "usd_difference")


def _read_drgs(column: pl.Series) -> pl.Series:
    """Return billed DRGs as numbers; null where the cell is blank.

    Raises:
        SchemaError: a value is no DRG number.
    """
    if isinstance(column.dtype, INTEGERS) or column.dtype == pl.Null:
        found = column.cast(pl.Int64)
        wrong = ~found.is_between(1, 999).fill_null(value=True)
    else:
        texts = column.cast(pl.String).str.strip_chars()
        found = texts.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)
        wrong = (texts != "").fill_null(value=False) & ~found.is_between(1, 999).fill_null(value=False)
    if wrong.any():
        raise SchemaError(
            f"column {column.name!r}, row {wrong.arg_max()}: no DRG from 1 to 999 ({int(wrong.sum()):,} such rows). "
            "Give null where no DRG was billed."
        )
    return found.cast(pl.UInt16)


def _validate_part(claims: pl.DataFrame, asked: pl.Series, tables: TableSet, status: str) -> pl.DataFrame:
    """Return both DRGs, their titles, agreement, deciding codes and reasons under one version."""
    grouped = group(claims, tables, hospital_status=status)
    families = dict(tables.formulas.filter(pl.col("drg") > 0).select("drg", "base_drg").iter_rows())
    titles = tables.drg_titles.select("drg", "title")
    billed_family = asked.replace_strict(families, default=None, return_dtype=pl.UInt16)
    drg = grouped["drg"]
    pair = pl.DataFrame({"billed": asked, "drg": drg, "of": billed_family, "base": grouped["base_drg"]})
    failed = grouped["return_code"] != "OK"
    agreement = pair.select(
        pl.when(pl.col("billed").is_null())
        .then(pl.lit("no billed DRG"))
        .when(pl.col("billed") == pl.col("drg"))
        .then(pl.lit("equal"))
        .when(failed)
        .then(pl.lit("ungroupable"))
        .when((pl.col("of") == pl.col("base")).fill_null(value=False))
        .then(pl.lit("other severity"))
        .otherwise(pl.lit("other family"))
        .cast(Agreement)
    ).to_series()
    at = np.flatnonzero(agreement.is_in(_DIFFERS).to_numpy())
    codes: list[list[str] | None] = [None] * len(claims)
    reasons: list[list[str] | None] = [None] * len(claims)
    if len(at):
        found = _find_reasons(claims[at], asked.gather(at), tables, status, set(families))
        for row, (deciding, why) in zip(at.tolist(), found, strict=True):
            codes[row], reasons[row] = deciding, why
    numbers, names = titles["drg"].cast(pl.Int64), titles["title"]

    def name_drgs(drgs: pl.Series) -> pl.Series:
        return drgs.cast(pl.Int64).replace_strict(numbers, names, default=None, return_dtype=pl.String)

    return pl.DataFrame(
        {
            "billed_drg": asked,
            "billed_title": name_drgs(asked),
            "computed_drg": drg,
            "computed_title": name_drgs(drg),
            "agreement": agreement,
            "deciding_codes": pl.Series(codes, dtype=pl.List(pl.String)),
            "reasons": pl.Series(reasons, dtype=pl.List(pl.String)),
            "version": pl.Series([tables.version]).new_from_index(0, len(claims)),
        }
    )


def _describe_without_version(n: int, asked: pl.Series) -> pl.DataFrame:
    """Return the rows of claims on whose date no grouper version is in force."""
    agreement = pl.Series(["ungroupable"] * n, dtype=Agreement)
    agreement = agreement.scatter(np.flatnonzero(asked.is_null().to_numpy()), "no billed DRG") if n else agreement
    no_text, no_list = pl.Series([None] * n, dtype=pl.String), pl.Series([[]] * n, dtype=pl.List(pl.String))
    return pl.DataFrame(
        {
            "billed_drg": asked,
            "billed_title": no_text,
            "computed_drg": pl.Series([None] * n, dtype=pl.UInt16),
            "computed_title": no_text,
            "agreement": agreement,
            "deciding_codes": no_list,
            "reasons": pl.Series([["no grouper version is in force on the date"]] * n, dtype=pl.List(pl.String)),
            "version": no_text,
        }
    )


def _add_dollars(
    table: pl.DataFrame, claims: pl.DataFrame, hospitals: pl.DataFrame | None, rates: PriceTerms
) -> pl.DataFrame:
    """Return the accounts with weight and dollars of both DRGs; null without a billed DRG."""
    sides = {}
    for side in ("billed", "computed"):
        drg = table[f"{side}_drg"].fill_null(0).alias("drg")
        sides[side] = price_drgs(claims.with_columns(drg), hospitals, rates)
    is_billed = pl.col("billed_drg").is_not_null()
    difference = pl.Series((sides["billed"][1] - sides["computed"][1]) / 100)
    return table.with_columns(
        sides["billed"][0].alias("billed_weight"),
        sides["computed"][0].alias("computed_weight"),
        pl.when(is_billed).then(pl.Series(sides["billed"][1] / 100)).alias("billed_usd"),
        pl.Series("computed_usd", sides["computed"][1] / 100),
        pl.when(is_billed).then(difference).alias("usd_difference"),
    )


def _find_reasons(
    claims: pl.DataFrame, asked: pl.Series, tables: TableSet, status: str, known: set[int]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the deciding codes and the reasons of each account that differs."""
    claims = claims.with_columns(admission_id=pl.int_range(len(claims), dtype=pl.UInt64))
    detailed = group(claims, tables, hospital_status=status, detail=True)
    in_version = _find_versions_that_agree(claims, asked, tables, status)
    principal, secondary, performed = _group_texts(claims)
    without = _find_codes_to_leave_out(claims, asked, tables, status)
    severity = dict(tables.diagnoses.select("code", "severity").iter_rows())
    strange = {*tables.diagnoses["code"]}, {*tables.procedures["code"]}
    severities = _rank_family(tables)
    for row, (drg, values) in enumerate(zip(asked.to_list(), detailed.iter_rows(named=True), strict=True)):
        pdx, sdx, procedures = principal[row], secondary[row], performed[row]
        valid = [pdx] if pdx else []
        of_sdx = [code for code, impact in zip(sdx, values["sdx_impact"], strict=True) if impact in _DECIDES]
        of_procedures = [c for c, impact in zip(procedures, values["proc_impact"], strict=True) if impact in _DECIDES]
        deciding = [*valid, *of_sdx, *of_procedures]
        why = []
        if values["return_code"] != "OK":
            why.append(f"ungroupable: {REASONS[values['return_code']]}")
        unknown = [c for c in (pdx, *sdx) if c and c not in strange[0]] + [c for c in procedures if c not in strange[1]]
        if unknown:
            why.append(f"codes not valid in {tables.version}: {' '.join(unknown)}")
        if drg not in known:
            why.append(f"the billed DRG is none of version {tables.version}")
        if in_version[row]:
            why.append(f"another grouper version: {', '.join(in_version[row])} gives the billed DRG")
        if values["initial_drg"] == drg:
            why.append("hospital-acquired condition: without it the billed DRG follows")
        elif values["hac_count"]:
            why.append("hospital-acquired condition: POA decides")
        level = severities.get(drg), severities.get(values["drg"])
        if level[0] and level[1] and level[0][0] == level[1][0] and level[0][1] != level[1][1]:
            higher = "higher" if level[0][1] < level[1][1] else "lower"
            from_codes = [code for code in of_sdx if severity.get(code) in ("CC", "MCC")]
            source = f"{values['severity']} from {' '.join(from_codes)}" if from_codes else "no CC or MCC counts"
            why.append(f"{higher} severity billed: {source}")
        if without.get(row):
            why.append(f"a code the billed DRG lacks: without {' or '.join(without[row])} it follows")
        yield deciding, why or ["not found: another coding, or an edit after grouping"]


def _rank_family(tables: TableSet) -> dict[int, tuple[int, int]]:
    """Return the family of each DRG and its place in it; a lower number is a higher severity."""
    each = tables.formulas.filter(pl.col("drg") > 0).select("base_drg", "drg").unique().sort("base_drg", "drg")
    return {drg: (base, drg - base) for base, drg in each.iter_rows()}


def _group_texts(claims: pl.DataFrame) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Return the codes of each claim, normalised: principal, secondary, procedures."""
    frame = check_frame(claims, ADMISSIONS)
    lists = []
    for name in ("sdx", "procedures"):
        texts = normalise_codes(flatten_lists(frame[name])).fill_null("").to_list()
        ends = np.cumsum([0, *frame[name].list.len().fill_null(0)]).tolist()
        lists.append([texts[a:b] for a, b in pairwise(ends)])
    return normalise_codes(frame["pdx"]).fill_null("").to_list(), lists[0], lists[1]


def _find_versions_that_agree(claims: pl.DataFrame, asked: pl.Series, tables: TableSet, status: str) -> list[list[str]]:
    """Return for each claim the other versions under which its codes lead to the billed DRG."""
    found: list[list[str]] = [[] for _ in range(len(claims))]
    for version in versions(folder=tables.folder):
        if version == tables.version:
            continue
        other = group(claims, TableSet.load(version, folder=tables.folder), hospital_status=status)
        for row in np.flatnonzero((other["drg"] == asked).fill_null(value=False).to_numpy()).tolist():
            found[row].append(version)
    return found


def _find_codes_to_leave_out(
    claims: pl.DataFrame, asked: pl.Series, tables: TableSet, status: str
) -> dict[int, list[str]]:
    """Return for each claim, by row, the codes without any one of which the billed DRG follows."""
    values = code_value(claims, tables, hospital_status=status)
    billed = asked.gather(values["admission_id"].cast(pl.Int64))
    found = defaultdict(list)
    for row, code in values.filter(values["drg_without"] == billed).select("admission_id", "code").iter_rows():
        found[row].append(code)
    return dict(found)


def _sum_usd(usd: pl.Expr) -> pl.Expr:
    """Return the sum of dollars, exact to the cent whatever the order of rows."""
    return (usd * 100).round(0).cast(pl.Int64).sum() / 100


def _write_cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return "" if value is None else str(value)
