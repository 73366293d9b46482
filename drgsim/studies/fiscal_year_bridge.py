"""What a new fiscal year does to the same stays: the change of payment, split by cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import factorial
from types import MappingProxyType

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, MissingRateError, did_you_mean
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.grouper import group
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.fixed_point import to_fixed_point
from drgsim.pricing.pricer import price
from drgsim.rates.parameters import Value
from drgsim.rates.payment_rates import Rates
from drgsim.rebilling.claim_conversion import convert_admissions
from drgsim.schema import ADMISSIONS, Frame, check_frame
from drgsim.tables.table_set import TableSet

STEPS = ("codes", "grouper", "weights", "amounts", "outlier", "hospitals", "policy")
"""Causes of the change, in the order of the default path."""

STEP_TITLES = MappingProxyType(
    {
        "codes": "Code conversion",
        "grouper": "Grouper logic",
        "weights": "Weights and mean stays",
        "amounts": "Standardized amounts",
        "outlier": "Outlier threshold",
        "hospitals": "Wage index and hospital factors",
        "policy": "Policy and new technology",
    }
)

_AMOUNTS = ("operating.labor.", "operating.nonlabor.", "capital.federal_rate", "hospital_specific.")
_OUTLIER = ("outlier.",)
_HOSPITALS = ("adjustments.wage_index",)
_TABLES = {
    "hospitals": ("wage_index", "outmigration"),
    "policy": ("technologies", "technology_codes", "technology_rules", "covid_treatments"),
}
_GROUPS = ("drg", "mdc", "service_line")


@dataclass(frozen=True, eq=False)
class PaymentBridge:
    """The change of payment from one year to the next, and its causes.

    Attributes:
        before, after: version and fiscal year, such as ("43.1", 2026).
        order: of the path.
        steps: a row for each cause in order: `step`, `title`, `path_usd` (its change when the causes before it have
            happened), `shapley_usd` (the mean over all orders), `stays` whose path changes. Both columns add up to the
            total change to the cent.
        stays: a row for each stay in the order of the claims: `admission_id`, `drg_before`, `drg_after`, `mdc`,
            `service_line`, `is_converted` (codes of it ended), `before_usd`, `after_usd`, and the path by cause
            (`codes_usd`, `grouper_usd`, ...).
        moves: DRGs whose stays change their DRG: `drg_before`, `title_before`, `drg_after`, `title_after`, `stays`,
            `before_usd`, `after_usd`, most stays first.
        codes: the codes that ended, as `convert_admissions` reports them.

    >>> from drgsim import generate
    >>> hospitals, claims = generate(60, seed=1, tables=TableSet.load("42.1"))
    >>> bridge = payment_bridge(claims, ("42.1", 2025), ("43.0", 2026), hospitals=hospitals)
    >>> bridge.after, bridge.by("mdc")["stays"].sum()
    (('43.0', 2026), 60)
    """

    before: tuple[str, int]
    after: tuple[str, int]
    order: tuple[str, ...]
    steps: pl.DataFrame = field(repr=False)
    stays: pl.DataFrame = field(repr=False)
    moves: pl.DataFrame = field(repr=False)
    codes: pl.DataFrame = field(repr=False)

    def by(self, group: str) -> pl.DataFrame:
        """Return the path by DRG before (`drg`), `mdc` or `service_line`, the largest change first.

        Raises:
            InputError: there is no such group.
        """
        if group not in _GROUPS:
            raise InputError(f"group is {group!r}; expected one of {', '.join(_GROUPS)}.{did_you_mean(group, _GROUPS)}")
        key = "drg_before" if group == "drg" else group
        amounts = ["before_usd", "after_usd", *(f"{step}_usd" for step in self.order)]
        sums = [(pl.col(name) * 100).round().cast(pl.Int64).sum() / 100 for name in amounts]
        found = self.stays.group_by(key).agg(pl.len().alias("stays"), *sums)
        change = ((pl.col("after_usd") - pl.col("before_usd")) * 100).round() / 100
        found = found.with_columns(change_usd=change)
        return found.sort(pl.col("change_usd").abs(), key, descending=[True, False])


@accept_frames
def payment_bridge(
    claims: pl.DataFrame,
    before: tuple[str | TableSet, int | Rates],
    after: tuple[str | TableSet, int | Rates],
    *,
    hospitals: pl.DataFrame,
    hospitals_after: pl.DataFrame | None = None,
    changes: Mapping[str, float] | None = None,
    order: Sequence[str] = STEPS,
    choose: str = "first",
    hospital_status: str = "NON_EXEMPT",
) -> PaymentBridge:
    """Carry stays to the next fiscal year, and split the change of their payment by cause.

    | step | what becomes that of the later year |
    |---|---|
    | codes | codes and DRG of stays with a code that ended: the later grouper cannot read their old codes |
    | grouper | the DRG of all other stays |
    | weights | Table 5. A DRG that one of the years lacks has the weight of the other year in both |
    | amounts | operating and capital standardized amounts, updates of hospital-specific rates |
    | outlier | fixed-loss threshold and the other parameters of outliers |
    | hospitals | the wage index of labor market areas, and `hospitals_after` |
    | policy | every other parameter, and new technologies |

    Args:
        claims: (n,) `schema.ADMISSIONS` in the codes of the earlier version, with the columns that `price` needs; a
            column `service_line` is used if there is one, else it is the MDC and medical or surgical.
        before, after: version or its TableSet, and fiscal year or its Rates.
        hospitals: (h,) `schema.HOSPITALS` of the earlier year.
        hospitals_after: of the later year; by default the same.
        changes: values by parameter name for the later year: what it lacks, or what is assumed.
        order: of the path, all of `STEPS`.
        choose: which candidate replaces a code with several, as in `convert_admissions`.
        hospital_status: POA reporting, as in `group`.

    Returns:
        The `PaymentBridge`. Its ends are what `price` says of the stays in both years.

    Raises:
        MissingRateError: the later year lacks Table 5 or a parameter; the message names all of them.
        SchemaError, InputError: as `group` and `price`, or `order` is not an order of `STEPS`.

    >>> from drgsim import generate
    >>> hospitals, claims = generate(200, seed=1, tables=TableSet.load("42.1"))
    >>> bridge = payment_bridge(claims, ("42.1", 2025), ("43.0", 2026), hospitals=hospitals)
    >>> change = bridge.stays["after_usd"].sum() - bridge.stays["before_usd"].sum()
    >>> abs(bridge.steps["path_usd"].sum() - change) < 0.005, bridge.steps["step"].to_list()[:3]
    (True, ['codes', 'grouper', 'weights'])
    """
    if sorted(order) != sorted(STEPS):
        raise InputError(f"order is {list(order)}; expected each of {', '.join(STEPS)} once.")
    check_frame(claims, Frame("admissions", (ADMISSIONS["admission_id"],)))
    old, new = _load(before), _load(after)
    new = (new[0], new[1].reformed(changes) if changes else new[1])
    later_hospitals = hospitals if hospitals_after is None else hospitals_after
    converted, codes = convert_admissions(
        claims, old[0].version, new[0].version, choose=choose, hospital_status=hospital_status
    )
    is_converted = claims["admission_id"].is_in(codes["admission_id"].implode()).to_numpy()
    frames = (
        group(claims, old[0], hospital_status=hospital_status),
        group(converted, new[0], hospital_status=hospital_status),
    )
    own = (_select_hospitals(hospitals, claims), _select_hospitals(later_hospitals, claims))
    _check_rates(old[1], new[1], frames[1], own[1])
    work = _Work(frames, is_converted, old[1], new[1], own)
    path, shares, ends = work.split(tuple(order))
    stays = _list_stays(claims, frames, is_converted, ends, path, tuple(order))
    return PaymentBridge(
        before=(old[0].version, old[1].fiscal_year),
        after=(new[0].version, new[1].fiscal_year),
        order=tuple(order),
        steps=_list_steps(path, shares, tuple(order)),
        stays=stays,
        moves=_list_moves(stays, old[0], new[0]),
        codes=codes,
    )


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Work:
    """Both years of the same stays: what is needed to price any mixture of their causes."""

    frames: tuple[pl.DataFrame, pl.DataFrame]
    is_converted: BoolArray
    old: Rates
    new: Rates
    hospitals: tuple[pl.DataFrame, pl.DataFrame]

    def split(self, order: tuple[str, ...]) -> tuple[Int64Array, Int64Array, tuple[Int64Array, Int64Array]]:
        """Return path (7, n) [cents], Shapley shares (7,) [cents / 7!], and both payments [cents]."""
        n, m, position = len(self.is_converted), len(order), {step: at for at, step in enumerate(order)}
        on_path = [frozenset(order[:k]) for k in range(m + 1)]
        states: dict[frozenset[str], Int64Array] = {}
        shares = np.zeros(m, dtype=object)
        rated = [step for step in order if step not in ("codes", "grouper")]
        for size in range(len(rated) + 1):
            for chosen in combinations(rated, size):
                was, now = self._price(frozenset(chosen))
                for grouped in ((), ("codes",), ("grouper",), ("codes", "grouper")):
                    state = frozenset((*chosen, *grouped))
                    is_new = np.where(self.is_converted, "codes" in state, "grouper" in state)
                    cents = np.where(is_new, now, was)
                    if state in on_path:
                        states[state] = cents
                    _add_shares(shares, int(cents.sum()), state, position)
        path = np.array([states[later] - states[earlier] for earlier, later in pairwise(on_path)], np.int64)
        return path.reshape(m, n), shares, (states[on_path[0]], states[on_path[-1]])

    def _price(self, chosen: frozenset[str]) -> tuple[Int64Array, Int64Array]:
        """Return the payment of each stay under old and new DRG, with some steps of the later year."""
        hospitals = self.hospitals["hospitals" in chosen]
        was, now = (
            to_fixed_point(price(frame, hospitals, self._mix(chosen, is_later=later))["total_usd"].to_numpy(), 2)
            for later, frame in enumerate(self.frames)
        )
        return was, now

    def _mix(self, chosen: frozenset[str], *, is_later: int) -> Rates:
        """Return the rates with some steps of the later year, for DRGs of either grouper."""
        values: dict[str, Value] = {}
        for name in {*self.old.values, *self.new.values}:
            source = self.new if _step_of(name) in chosen else self.old
            if name in source.values:
                values[name] = source.values[name]
        first, second = (self.new, self.old) if "weights" in chosen else (self.old, self.new)
        # DRGs of one year with weights of the other: a DRG that is not among them keeps its own.
        extra = second.weights.join(first.weights.select("drg"), on="drg", how="anti")
        extra = extra.head(0) if is_later == ("weights" in chosen) else extra
        tables = {
            name: getattr(self.new if step in chosen else self.old, name)
            for step, names in _TABLES.items()
            for name in names
        }
        return replace(
            self.old,
            # The updates of hospital-specific rates since FY2019 follow from the year.
            fiscal_year=(self.new if "amounts" in chosen else self.old).fiscal_year,
            parameters=self.new.parameters,
            values=MappingProxyType(values),
            table5=pl.concat([first.weights, extra.select(first.weights.columns)]).sort("drg"),
            **tables,
        )


def _add_shares(shares: np.ndarray, cents: int, state: frozenset[str], position: Mapping[str, int]) -> None:
    """Add one state's payment to the Shapley shares of all steps [cents / 7!]."""
    m, size = len(position), len(state)
    for step, at in position.items():
        if step in state:
            shares[at] += cents * factorial(size - 1) * factorial(m - size)
        else:
            shares[at] -= cents * factorial(size) * factorial(m - size - 1)


def _step_of(name: str) -> str:
    """Return the step to which a parameter belongs."""
    if name.startswith(_AMOUNTS):
        return "amounts"
    if name.startswith(_HOSPITALS):
        return "hospitals"
    return "outlier" if name.startswith(_OUTLIER) else "policy"


def _load(year: tuple[str | TableSet, int | Rates]) -> tuple[TableSet, Rates]:
    if not isinstance(year, tuple) or len(year) != 2:
        raise InputError(f"a year is {year!r:.60}; expected version and fiscal year, such as ('43.1', 2026).")
    tables, rates = year
    return (
        tables if isinstance(tables, TableSet) else TableSet.load(tables),
        rates if isinstance(rates, Rates) else Rates.load(rates),
    )


def _check_rates(old: Rates, new: Rates, later: pl.DataFrame, hospitals: pl.DataFrame) -> None:
    """Raise MissingRateError for everything that the later year lacks and its payments need."""
    if new.table5 is None or old.table5 is None:
        year = (new if new.table5 is None else old).fiscal_year
        raise MissingRateError(
            f"fiscal year {year} lacks Table 5. Give its rates with one: after=(version, "
            f"Rates.load({year}).with_table5(path))."
        )
    unknown = [name for name in old.values if name not in new.values]
    lacking: list[str] = []
    while True:
        filled = {**new.values, **{name: old.values[name] for name in lacking}}
        try:
            price(later, hospitals, replace(new, values=MappingProxyType(filled)))
            break
        except MissingRateError as error:
            # A year has parameters that no payment needs; only the pricer knows which these are.
            name = next((name for name in unknown if name not in lacking and f"{name} " in str(error)), None)
            if name is None:
                raise
            lacking.append(name)
    if lacking:
        values = ", ".join(f"{name!r}: ..." for name in sorted(lacking))
        raise MissingRateError(
            f"fiscal year {new.fiscal_year} lacks {', '.join(sorted(lacking))}. Give them: changes={{{values}}}, such "
            f"as those of {old.fiscal_year}."
        )


def _select_hospitals(hospitals: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    """Return the hospitals of the claims; the others need not be completed for every mixture."""
    if "hospital_id" not in hospitals.columns or "hospital_id" not in claims.columns:
        return hospitals
    own = hospitals.filter(pl.col("hospital_id").is_in(claims["hospital_id"].implode()))
    return hospitals if own.is_empty() else own


def _list_steps(path: Int64Array, shares: np.ndarray, order: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "step": list(order),
            "title": [STEP_TITLES[step] for step in order],
            "path_usd": path.sum(axis=1) / 100,
            "shapley_usd": np.array(_round_shares([int(share) for share in shares], factorial(len(order)))) / 100,
            "stays": (path != 0).sum(axis=1),
        }
    )


def _round_shares(shares: Sequence[int], unit: int) -> list[int]:
    """Return shares as whole cents with the same sum; the largest remainders are rounded up."""
    floors = [share // unit for share in shares]
    left = sum(shares) // unit - sum(floors)
    upwards = sorted(range(len(shares)), key=lambda at: (-(shares[at] % unit), at))[:left]
    return [floor + (at in upwards) for at, floor in enumerate(floors)]


def _list_stays(
    claims: pl.DataFrame,
    frames: tuple[pl.DataFrame, pl.DataFrame],
    is_converted: BoolArray,
    ends: tuple[Int64Array, Int64Array],
    path: Int64Array,
    order: tuple[str, ...],
) -> pl.DataFrame:
    was, now = frames
    line = was.select(pl.format("MDC {} {}", "mdc", pl.col("drg_type").cast(pl.String).str.to_lowercase())).to_series()
    return claims.select("admission_id").with_columns(
        was["drg"].alias("drg_before"),
        now["drg"].alias("drg_after"),
        was["mdc"],
        claims["service_line"].cast(pl.String) if "service_line" in claims.columns else line.alias("service_line"),
        pl.Series("is_converted", is_converted),
        pl.Series("before_usd", ends[0] / 100),
        pl.Series("after_usd", ends[1] / 100),
        *(pl.Series(f"{step}_usd", path[at] / 100) for at, step in enumerate(order)),
    )


def _list_moves(stays: pl.DataFrame, old: TableSet, new: TableSet) -> pl.DataFrame:
    moved = stays.filter(pl.col("drg_before") != pl.col("drg_after"))
    cents = [(pl.col(name) * 100).round().cast(pl.Int64).sum() / 100 for name in ("before_usd", "after_usd")]
    found = moved.group_by("drg_before", "drg_after").agg(pl.len().alias("stays"), *cents)
    for when, tables in (("before", old), ("after", new)):
        titles = tables.drg_titles.select(pl.col("drg").alias(f"drg_{when}"), pl.col("title").alias(f"title_{when}"))
        found = found.join(titles, on=f"drg_{when}", how="left")
    names = ("drg_before", "title_before", "drg_after", "title_after", "stays", "before_usd", "after_usd")
    return found.select(names).sort("stays", "drg_before", "drg_after", descending=[True, False, False])
