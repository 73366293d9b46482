"""The core of an admission, solved from its DRG's formula: PDX, procedures and the secondary codes it needs.

A row of the rulebook is a sum of alternatives; each names the operands that codes must bring. For every DRG
a pool of cores is drawn from the codes that bring them, common codes more often, and the grouper confirms
each one beside no, a CC and an MCC comorbidity. What lands elsewhere is left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from drgsim.numerics.arrays import FloatArray, Int64Array
from drgsim.numerics.keyed_random import uniform
from drgsim.synthetic.drg_requirements import Need, Requirement, combine_rows, list_requirements
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import EITHER, FEMALE, MALE, CodeLimits, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

_SYSTEMIC = 8.0
"""How much likelier a procedure is chosen for each further operand of the formula it brings."""
_FEWEST, _MOST, _PER_SHARE = 96, 1_024, 40_000


@dataclass(frozen=True)
class Template:
    """One admission before comorbidity; codes are codebook numbers."""

    drg: int
    pdx: int
    sdx: tuple[int, ...]
    procedures: tuple[int, ...]
    status: int
    sex: int
    min_age: int
    max_age: int


@dataclass(frozen=True)
class _Carriers:
    """Codes that bring something, with cumulated weights."""

    members: Sequence[int]
    cumulated: Sequence[float]

    def pick(self, u: float) -> int:
        return self.members[min(bisect_right(self.cumulated, u * self.cumulated[-1]), len(self.members) - 1)]


@dataclass(eq=False)
class Solver:
    """Solves the formulas of one version; holds who carries which operand, and how common each code is."""

    tables: TableSet
    population: Population
    legal: CodeLimits = field(init=False)

    def __post_init__(self) -> None:
        """Index the codes by operand."""
        tables = self.tables
        self.legal = load_code_limits(tables)
        dx_book, procedure_book = load_codebooks(tables)
        dx = tables.diagnoses.with_columns(pl.Series("number", dx_book.numbers(tables.diagnoses["code"])))
        self._dx_names = _inverted(dx, "operands", "hac_operands", "categories")
        self._has: dict[str, NDArray[np.bool_]] = {}
        by_mdc: dict[tuple[int, int], list[int]] = {}
        routed = {row[0]: row[1:] for row in tables.sex_mdcs.select("pdx", "male_mdc", "female_mdc").rows()}
        for code, mdc, number in dx.select("code", "mdc", "number").rows():
            male, female = routed.get(code, (mdc, mdc))
            sides = {(male, EITHER)} if male == female else {(male, MALE), (female, FEMALE)}
            for side in sides:
                by_mdc.setdefault(side, []).append(number)
        self._by_mdc = {key: np.array(numbers) for key, numbers in by_mdc.items()}
        self._mdcs = sorted({mdc for mdc, _ in by_mdc})
        procedures = tables.procedures.with_columns(
            pl.Series("number", procedure_book.numbers(tables.procedures["code"]))
        )
        number_of = dict(zip(procedure_book.codes, range(1, len(procedure_book.codes) + 1), strict=True))
        self._cluster_choices: dict[int, list[list[int]]] = {}
        clusters = []
        for place, (choices, operands) in enumerate(tables.clusters.select("choices", "operands").rows()):
            split = [choice.split(" ") for choice in choices.split(" + ")]
            self._cluster_choices[-1 - place] = [[number_of[code] for code in choice] for choice in split]
            clusters.append((-1 - place, operands))
        self._procedure_names = _inverted(procedures, "operands")
        for number, operands in clusters:
            for name in (operands or "").split():
                self._procedure_names.setdefault(name, []).append(number)
        self._carried: dict[int, set[str]] = {}
        for name, numbers in self._procedure_names.items():
            for number in numbers:
                self._carried.setdefault(number, set()).add(name)
        self._formulas: dict[int, list[tuple[int, str]]] = {}
        self._doors: dict[int, list[tuple[int, str]]] = {}
        for mdc, drg, reroute, formula in tables.formulas.select("mdc", "drg", "reroute_mdc", "formula").rows():
            if drg:
                self._formulas.setdefault(drg, []).append((mdc, formula))
            elif reroute:
                self._doors.setdefault(reroute, []).append((mdc, formula))
        self._cache: dict[object, _Carriers | None] = {}
        self._load_weights()

    def _load_weights(self) -> None:
        folder = self.tables.folder
        dx_book, procedure_book = load_codebooks(self.tables)
        principal = read_facts("principal", folder)
        principal = principal.with_columns(pl.Series("number", dx_book.numbers(principal["code"])))
        self._principal = principal.select("first_drg", "last_drg", "number", "weight").rows()
        self._national = self._national_weights(principal)
        procedures = read_facts("procedures", folder)
        self._procedure_weight = dict(
            zip(procedure_book.numbers(procedures["code"]).tolist(), procedures["weight"], strict=True)
        )
        for cluster, choices in self._cluster_choices.items():
            common = min(max(self._procedure_weight.get(n, 0.0) for n in choice) for choice in choices)
            if common:
                self._procedure_weight[cluster] = common
        conditions = read_facts("conditions", folder)
        self._sdx_weight = dict(
            zip(dx_book.numbers(conditions["code"]).tolist(), conditions["stay_share"], strict=True)
        )
        self._pre_mdc = read_facts("pre_mdc", folder).rows()
        companions = read_facts("companions", folder)
        companions = companions.with_columns(pl.Series("number", dx_book.numbers(companions["code"])))
        self._companions: dict[str, list[list[tuple[int, float]]]] = {}
        for (prefix, _), rule in companions.group_by("pdx_prefix", "family", maintain_order=True):
            self._companions.setdefault(str(prefix), []).append(rule.select("number", "share").rows())
        self._text = dx_book.codes.to_list()

    def _national_weights(self, principal: pl.DataFrame) -> FloatArray:
        """How common each code is as PDX in the nation: the listed shares within DRGs times their volumes."""
        drgs = read_facts("drgs", self.tables.folder).select("drg", "discharges")
        families = principal.select("first_drg", "last_drg").unique()
        volume = families.join_where(
            drgs, pl.col("drg") >= pl.col("first_drg"), pl.col("drg") <= pl.col("last_drg")
        ).group_by("first_drg", "last_drg").agg(pl.col("discharges").sum())  # fmt: skip
        share = pl.col("weight") / pl.col("weight").sum().over("first_drg", "last_drg")
        common = principal.join(volume, on=["first_drg", "last_drg"]).select(
            "number", cases=share * pl.col("discharges")
        )
        weights = self.legal.likely * 1e-9
        np.add.at(weights, common["number"].to_numpy(), common["cases"].to_numpy())
        return weights

    def cores(self, drg: int, share: float) -> list[Template]:
        """Return a pool of unconfirmed cores for a DRG; a larger share of admissions gets a larger pool."""
        size = int(np.clip(share * _PER_SHARE, _FEWEST, _MOST))
        weights = self._pdx_weights(drg)
        ways = []
        for mdc, demand in self._demands(drg):
            for sex in (EITHER, MALE, FEMALE):
                candidates = self._pdx_candidates(mdc, sex, demand)
                weight = weights[candidates].sum() * self._ease(demand) if len(candidates) else 0.0
                if weight > 0:
                    ways.append((weight, demand, sex, candidates))
        total = sum(way[0] for way in ways)
        found: list[Template] = []
        for place, (weight, demand, sex, candidates) in enumerate(ways):
            count = max(4, round(size * weight / total))
            found += self._drawn(drg, place, count, demand, sex, candidates, weights)
        return found

    def _demands(self, drg: int) -> Iterator[tuple[int, Requirement]]:
        """Yield every way to the DRG: the MDC of the PDX and what the rows on the way ask together."""
        for mdc, formula in self._formulas[drg]:
            for demand in list_requirements(formula):
                if mdc == 0:
                    listed = {int(m) for first, last, m in self._pre_mdc if first <= drg <= last}
                    yield from ((m, demand) for m in sorted(listed) or self._mdcs)
                    continue
                reroutes = self._doors.get(mdc, [])
                if not reroutes:
                    yield mdc, demand
                for origin, door in reroutes:
                    for more in list_requirements(door):
                        joined = combine_rows(demand, more)
                        yield from ((m, joined) for m in ([origin] if origin else self._mdcs))
                if reroutes and any(m == mdc for m in self._mdcs):
                    yield mdc, demand

    def _pdx_candidates(self, mdc: int, sex: int, demand: Requirement) -> Int64Array:
        numbers = self._by_mdc.get((mdc, sex), np.zeros(0, np.int64)).astype(np.int64)
        keep = np.ones(len(numbers), np.bool_)
        for name in demand.pdx:
            keep &= self._carriers_mask(name)[numbers]
        for name in demand.not_pdx:
            keep &= ~self._carriers_mask(name)[numbers]
        numbers = numbers[keep]
        lawful = numbers[self.legal.may_be_pdx[numbers]]
        return lawful if len(lawful) else numbers

    def _carriers_mask(self, name: str) -> NDArray[np.bool_]:
        if name not in self._has:
            self._has[name] = np.zeros(len(self.legal.dx_valid), np.bool_)
            self._has[name][self._dx_names.get(name, [])] = True
        return self._has[name]

    def _pdx_weights(self, drg: int) -> FloatArray:
        """Weights of all codes as PDX of a DRG, before asking which can lead there."""
        listed = [(number, weight) for first, last, number, weight in self._principal if first <= drg <= last]
        if not listed:
            return self._national
        weights = self.legal.likely * 1e-9
        for number, weight in listed:
            weights[number] = weight
        return weights

    def _ease(self, demand: Requirement) -> float:
        """How likely the procedures of a demand are, on a coarse scale; 0 where no code can bring them."""
        ease = 1.0
        for name in demand.sdx:
            ease *= 0.1 if self._sdx_carriers(name) else 0.0
        for need in demand.needs:
            carriers = self._procedure_carriers((need,), demand.not_procedure)
            ease *= (0.02 + min(1.0, carriers.cumulated[-1] / 20)) if carriers else 0.0
        return ease

    def _drawn(
        self,
        drg: int,
        way: int,
        count: int,
        demand: Requirement,
        sex: int,
        candidates: Int64Array,
        weights: FloatArray,
    ) -> Iterator[Template]:
        """Draw cores that meet a demand; the PDX systematically, so that a pool holds weights as counts."""
        w = weights[candidates]
        listed = w > 1e-6
        tail = 1 - self.population.listed_pdx_share.value
        if listed.any() and not listed.all():
            w = np.where(listed, w / w[listed].sum() * (1 - tail), 0) + np.where(listed, 0, w / w[~listed].sum() * tail)
        cumulated = np.cumsum(w) / w.sum()
        u = uniform(0, f"core {drg} {way}", np.arange(count)[:, None], np.arange(40)[None, :])
        picks = candidates[
            np.minimum(np.searchsorted(cumulated, (np.arange(count) + u[:, 0]) / count), len(candidates) - 1)
        ]
        for row, pdx in zip(u.tolist(), picks.tolist(), strict=True):
            spare = iter(row[1:])
            sdx = [self._sdx_carriers(name) for name in demand.sdx]
            codes = [carriers.pick(next(spare)) for carriers in sdx if carriers]
            procedures = self._procedures(demand, spare)
            if procedures is None or pdx in codes:
                continue
            for rule in self._rules(pdx):
                v = next(spare)
                for number, chance in rule:
                    if v < chance:
                        if number and number not in codes:
                            codes.append(number)
                        break
                    v -= chance
            core = self._limited(drg, pdx, tuple(dict.fromkeys(codes)), procedures, demand.status, sex)
            if core is not None:
                yield core

    def _rules(self, pdx: int) -> Iterator[list[tuple[int, float]]]:
        text = self._text[pdx - 1]
        for length in range(len(text), 2, -1):
            if text[:length] in self._companions:
                yield from self._companions[text[:length]]
                return

    def _limited(
        self, drg: int, pdx: int, sdx: tuple[int, ...], procedures: tuple[int, ...], status: int, sex: int
    ) -> Template | None:
        """Return the core with the sex and age its codes allow together, or None where they allow nobody."""
        legal = self.legal
        dx = (pdx, *sdx)
        sexes = {sex, *(int(legal.dx_sex[n]) for n in dx), *(int(legal.procedure_sex[n]) for n in procedures)}
        sexes.discard(EITHER)
        low, high = max(int(legal.dx_min_age[n]) for n in dx), min(int(legal.dx_max_age[n]) for n in dx)
        if len(sexes) > 1 or low > high:
            return None
        return Template(drg, pdx, sdx, procedures, status, sexes.pop() if sexes else EITHER, low, high)

    def _procedures(self, demand: Requirement, spare: Iterator[float]) -> tuple[int, ...] | None:
        """Pick procedures until every need is met; one that meets several needs counts for all of them."""
        chosen: list[int] = []
        left = list(demand.needs)
        while left:
            carriers = self._procedure_carriers(tuple(left), demand.not_procedure)
            number = carriers.pick(next(spare)) if carriers else 0
            if number in chosen:
                number = carriers.pick(next(spare)) if carriers else 0
            if not number or number in chosen:
                return None
            chosen.append(number)
            brings = self._carried[number]
            met: list[Need] = []
            for need in left:
                # The same need twice asks for two procedures (counted words).
                if need not in met and all(name in brings for name in need):
                    met.append(need)
            for need in met:
                left.remove(need)
        codes: list[int] = []
        for number in chosen:
            for choice in self._cluster_choices.get(number, [[number]]):
                best = max(self._procedure_weight.get(n, 0.0) for n in choice)
                common = [n for n in choice if self._procedure_weight.get(n, 0.0) == best]
                codes.append(common[int(next(spare) * len(common))])
        return tuple(dict.fromkeys(codes))

    def _procedure_carriers(self, needs: tuple[Need, ...], refused: frozenset[str]) -> _Carriers | None:
        """Codes and clusters that bring the first need, weighted towards those that bring the others too."""
        key = (needs, refused)
        if key not in self._cache:
            nobody: list[int] = []
            members = set(self._procedure_names.get(needs[0][0], nobody))
            members = {n for n in members if self._carried[n] >= set(needs[0]) and not self._carried[n] & refused}
            others = [set(need) for need in dict.fromkeys(needs[1:])]
            bonus = {n: _SYSTEMIC ** sum(self._carried[n] >= other for other in others) for n in members}
            listed = {n: self._procedure_weight[n] * bonus[n] for n in members if n in self._procedure_weight}
            rest = sorted(members - set(listed))
            scale = sum(listed.values()) or 1.0
            tail = sum(bonus[n] for n in rest) or 1.0
            weights = {**dict(sorted(listed.items())), **{n: 0.1 * scale * bonus[n] / tail for n in rest}}
            self._cache[key] = _Carriers(list(weights), np.cumsum(list(weights.values())).tolist()) if weights else None
        return self._cache[key]

    def _sdx_carriers(self, name: str) -> _Carriers | None:
        if name not in self._cache:
            nobody: list[int] = []
            numbers = np.array(sorted(set(self._dx_names.get(name, nobody))), np.int64)
            weights = {int(n): self._sdx_weight.get(int(n), 0.0) + 1e-4 * float(self.legal.likely[n]) for n in numbers}
            self._cache[name] = (
                _Carriers(list(weights), np.cumsum(list(weights.values())).tolist()) if weights else None
            )
        return self._cache[name]


def _inverted(frame: pl.DataFrame, *columns: str) -> dict[str, list[int]]:
    """Return the numbers of the codes that carry each name."""
    found: dict[str, list[int]] = {}
    for number, *lists in frame.select("number", *columns).rows():
        for names in lists:
            for name in (names or "").split():
                found.setdefault(name, []).append(number)
    return found
