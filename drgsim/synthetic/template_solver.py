"""Templates of admissions, solved from the formula of a DRG.

A row of the rulebook is a sum of alternatives; each names the operands that codes must carry. For every DRG,
templates (PDX, procedures and the secondary codes that the formula requires) are drawn from the codes that carry
them, common codes more often. `templates` keeps those that the grouper confirms.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl

from drgsim.numerics.arrays import BoolArray, FloatArray, Int64Array
from drgsim.numerics.keyed_random import uniform
from drgsim.synthetic.drg_requirements import (
    ProcedureOperands,
    Requirement,
    combine_requirements,
    list_requirements,
)
from drgsim.synthetic.population import Population
from drgsim.tables.code_limits import EITHER, FEMALE, MALE, CodeLimits, load_code_limits
from drgsim.tables.codebook import load_codebooks
from drgsim.tables.national_facts import read_facts
from drgsim.tables.table_set import TableSet

_FURTHER_OPERAND_RATIO = 8.0
"""How much likelier a procedure becomes with each further procedure of the requirement that it stands for."""
_FEWEST, _MOST, _PER_SHARE = 96, 1_024, 40_000
"""Templates of a DRG: in proportion to its share of admissions, within these limits."""
_ROUTE_FEWEST = 4
_DRAWS_PER_TEMPLATE = 40


class Template(NamedTuple):
    """An admission without comorbidity; codes are codebook numbers."""

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
    """Codes that carry some operands, with cumulated weights."""

    members: Sequence[int]
    cumulated: Sequence[float]

    def pick(self, u: float) -> int:
        """Return the code at a uniform number, by weight."""
        return self.members[min(bisect_right(self.cumulated, u * self.cumulated[-1]), len(self.members) - 1)]


@dataclass(eq=False)
class TemplateSolver:
    """The formulas of a version, the codes that carry their operands, and how common they are."""

    tables: TableSet
    population: Population
    code_limits: CodeLimits = field(init=False)

    def __post_init__(self) -> None:
        """Index the codes by operand, and load how common they are."""
        self.code_limits = load_code_limits(self.tables)
        self._cache: dict[object, _Carriers | None] = {}
        self._index_diagnoses()
        self._index_procedures()
        self._index_formulas()
        self._load_procedure_weights()
        self._load_diagnosis_weights()

    def _index_diagnoses(self) -> None:
        """Index diagnoses by operand, and possible PDXs by MDC and sex."""
        tables, book = self.tables, load_codebooks(self.tables)[0]
        self._text = book.codes.to_list()
        dx = tables.diagnoses.with_columns(pl.Series("number", book.numbers(tables.diagnoses["code"])))
        self._dx_by_operand = _index_by_operand(dx, "operands", "hac_operands", "categories")
        self._carries_operand: dict[str, BoolArray] = {}
        by_mdc: dict[tuple[int, int], list[int]] = {}
        by_sex = {row[0]: row[1:] for row in tables.sex_mdcs.select("pdx", "male_mdc", "female_mdc").rows()}
        for code, mdc, number in dx.select("code", "mdc", "number").rows():
            male, female = by_sex.get(code, (mdc, mdc))
            keys = {(male, EITHER)} if male == female else {(male, MALE), (female, FEMALE)}
            for key in keys:
                by_mdc.setdefault(key, []).append(number)
        self._by_mdc = {key: np.array(numbers) for key, numbers in by_mdc.items()}
        self._mdcs = sorted({mdc for mdc, _ in by_mdc})

    def _index_procedures(self) -> None:
        """Index procedures and clusters of them by operand; a cluster has a negative number."""
        tables, book = self.tables, load_codebooks(self.tables)[1]
        procedures = tables.procedures.with_columns(pl.Series("number", book.numbers(tables.procedures["code"])))
        number_of = dict(zip(book.codes, range(1, len(book.codes) + 1), strict=True))
        self._cluster_choices: dict[int, list[list[int]]] = {}
        self._procedures_by_operand = _index_by_operand(procedures, "operands")
        for place, (choices, operands) in enumerate(tables.clusters.select("choices", "operands").rows()):
            cluster = -1 - place
            split = [choice.split(" ") for choice in choices.split(" + ")]
            self._cluster_choices[cluster] = [[number_of[code] for code in choice] for choice in split]
            for name in (operands or "").split():
                self._procedures_by_operand.setdefault(name, []).append(cluster)
        self._operands_of: dict[int, set[str]] = {}
        for name, numbers in self._procedures_by_operand.items():
            for number in numbers:
                self._operands_of.setdefault(number, set()).add(name)

    def _index_formulas(self) -> None:
        """Index formulas by DRG, and reroutes by the MDC to which they lead."""
        self._formulas: dict[int, list[tuple[int, str]]] = {}
        self._reroutes: dict[int, list[tuple[int, str]]] = {}
        rows = self.tables.formulas.select("mdc", "drg", "reroute_mdc", "formula").rows()
        for mdc, drg, reroute, formula in rows:
            if drg:
                self._formulas.setdefault(drg, []).append((mdc, formula))
            elif reroute:
                self._reroutes.setdefault(reroute, []).append((mdc, formula))

    def _load_procedure_weights(self) -> None:
        """Load how common each procedure is; a cluster is as common as its rarest procedure."""
        book, procedures = load_codebooks(self.tables)[1], read_facts("procedures", self.tables.folder)
        self._procedure_weight = dict(zip(book.numbers(procedures["code"]).tolist(), procedures["weight"], strict=True))
        for cluster, choices in self._cluster_choices.items():
            common = min(max(self._procedure_weight.get(n, 0.0) for n in choice) for choice in choices)
            if common:
                self._procedure_weight[cluster] = common

    def _load_diagnosis_weights(self) -> None:
        """Load how common each diagnosis is, and which codes accompany a PDX."""
        folder, book = self.tables.folder, load_codebooks(self.tables)[0]
        principal = read_facts("principal", folder)
        principal = principal.with_columns(pl.Series("number", book.numbers(principal["code"])))
        self._principal = principal.select("first_drg", "last_drg", "number", "weight").rows()
        self._national = self._national_weights(principal)
        conditions = read_facts("conditions", folder)
        self._sdx_weight = dict(zip(book.numbers(conditions["code"]).tolist(), conditions["stay_share"], strict=True))
        self._pre_mdc = read_facts("pre_mdc", folder).rows()
        companions = read_facts("companions", folder)
        companions = companions.with_columns(pl.Series("number", book.numbers(companions["code"])))
        self._companions: dict[str, list[list[tuple[int, float]]]] = {}
        for (prefix, _), rule in companions.group_by("pdx_prefix", "family", maintain_order=True):
            self._companions.setdefault(str(prefix), []).append(rule.select("number", "share").rows())

    def _national_weights(self, principal: pl.DataFrame) -> FloatArray:
        """Return how common each code is as PDX in the nation.

        That is the sum over DRGs of its listed share of the DRG times the discharges of the DRG.
        """
        drgs = read_facts("drgs", self.tables.folder).select("drg", "discharges")
        families = principal.select("first_drg", "last_drg").unique()
        volume = families.join_where(
            drgs, pl.col("drg") >= pl.col("first_drg"), pl.col("drg") <= pl.col("last_drg")
        ).group_by("first_drg", "last_drg").agg(pl.col("discharges").sum())  # fmt: skip
        share = pl.col("weight") / pl.col("weight").sum().over("first_drg", "last_drg")
        common = principal.join(volume, on=["first_drg", "last_drg"]).select(
            "number", cases=share * pl.col("discharges")
        )
        weights = self.code_limits.likely * 1e-9
        np.add.at(weights, common["number"].to_numpy(), common["cases"].to_numpy())
        return weights

    def solve(self, drg: int, share: float) -> list[Template]:
        """Return templates of a DRG that the grouper has not confirmed yet.

        A DRG with a larger share of admissions gets more templates.
        """
        size = int(np.clip(share * _PER_SHARE, _FEWEST, _MOST))
        weights = self._pdx_weights(drg)
        routes = []
        for mdc, requirement in self._list_routes(drg):
            for sex in (EITHER, MALE, FEMALE):
                candidates = self._find_pdx_candidates(mdc, sex, requirement)
                weight = weights[candidates].sum() * self._estimate_ease(requirement) if len(candidates) else 0.0
                if weight > 0:
                    routes.append((weight, requirement, sex, candidates))
        total = sum(route[0] for route in routes)
        templates: list[Template] = []
        for place, (weight, requirement, sex, candidates) in enumerate(routes):
            count = max(_ROUTE_FEWEST, round(size * weight / total))
            templates += self._draw_templates(drg, place, count, requirement, sex, candidates, weights)
        return templates

    def _list_routes(self, drg: int) -> Iterator[tuple[int, Requirement]]:
        """Yield every route to the DRG: the MDC of the PDX, and what the rows require together."""
        for mdc, formula in self._formulas[drg]:
            for requirement in list_requirements(formula):
                if mdc == 0:
                    listed = {int(m) for first, last, m in self._pre_mdc if first <= drg <= last}
                    yield from ((m, requirement) for m in sorted(listed) or self._mdcs)
                    continue
                reroutes = self._reroutes.get(mdc, [])
                if not reroutes:
                    yield mdc, requirement
                for origin, formula_of_reroute in reroutes:
                    for more in list_requirements(formula_of_reroute):
                        joined = combine_requirements(requirement, more)
                        yield from ((m, joined) for m in ([origin] if origin else self._mdcs))
                if reroutes and any(m == mdc for m in self._mdcs):
                    yield mdc, requirement

    def _find_pdx_candidates(self, mdc: int, sex: int, requirement: Requirement) -> Int64Array:
        """Return the codes that satisfy a requirement as PDX, legal ones if there are any."""
        numbers = self._by_mdc.get((mdc, sex), np.zeros(0, np.int64)).astype(np.int64)
        keep = np.ones(len(numbers), np.bool_)
        for name in requirement.pdx:
            keep &= self._flag_carriers(name)[numbers]
        for name in requirement.not_pdx:
            keep &= ~self._flag_carriers(name)[numbers]
        numbers = numbers[keep]
        legal = numbers[self.code_limits.may_be_pdx[numbers]]
        return legal if len(legal) else numbers

    def _flag_carriers(self, name: str) -> BoolArray:
        """Return which diagnoses carry an operand, by codebook number."""
        if name not in self._carries_operand:
            self._carries_operand[name] = np.zeros(len(self.code_limits.dx_valid), np.bool_)
            self._carries_operand[name][self._dx_by_operand.get(name, [])] = True
        return self._carries_operand[name]

    def _pdx_weights(self, drg: int) -> FloatArray:
        """Return the weight of every code as PDX of a DRG, whether or not it can lead there."""
        listed = [(number, weight) for first, last, number, weight in self._principal if first <= drg <= last]
        if not listed:
            return self._national
        weights = self.code_limits.likely * 1e-9
        for number, weight in listed:
            weights[number] = weight
        return weights

    def _estimate_ease(self, requirement: Requirement) -> float:
        """Return a coarse likelihood of a requirement; 0 where no code can satisfy it."""
        ease = 1.0
        for name in requirement.sdx:
            ease *= 0.1 if self._find_sdx(name) else 0.0
        for operands in requirement.procedures:
            carriers = self._find_procedures((operands,), requirement.not_procedure)
            ease *= (0.02 + min(1.0, carriers.cumulated[-1] / 20)) if carriers else 0.0
        return ease

    def _draw_templates(
        self,
        drg: int,
        route: int,
        count: int,
        requirement: Requirement,
        sex: int,
        candidates: Int64Array,
        weights: FloatArray,
    ) -> Iterator[Template]:
        """Draw templates that satisfy a requirement.

        The PDX is drawn systematically, so that the number of templates with a PDX is proportional to its weight.
        """
        w = weights[candidates]
        listed = w > 1e-6
        tail = 1 - self.population.listed_pdx_share.value
        if listed.any() and not listed.all():
            w = np.where(listed, w / w[listed].sum() * (1 - tail), 0) + np.where(listed, 0, w / w[~listed].sum() * tail)
        cumulated = np.cumsum(w) / w.sum()
        u = uniform(0, f"core {drg} {route}", np.arange(count)[:, None], np.arange(_DRAWS_PER_TEMPLATE)[None, :])
        picks = candidates[
            np.minimum(np.searchsorted(cumulated, (np.arange(count) + u[:, 0]) / count), len(candidates) - 1)
        ]
        for row, pdx in zip(u.tolist(), picks.tolist(), strict=True):
            spare = iter(row[1:])
            sdx = [self._find_sdx(name) for name in requirement.sdx]
            codes = [carriers.pick(next(spare)) for carriers in sdx if carriers]
            procedures = self._pick_procedures(requirement, spare)
            if procedures is None or pdx in codes:
                continue
            self._add_companions(pdx, codes, spare)
            distinct = tuple(dict.fromkeys(codes))
            template = self._limit_patient(drg, pdx, distinct, procedures, requirement.status, sex)
            if template is not None:
                yield template

    def _add_companions(self, pdx: int, codes: list[int], spare: Iterator[float]) -> None:
        """Add to `codes` the secondary codes that guidelines require with a PDX."""
        for rule in self._list_companions(pdx):
            v = next(spare)
            for number, chance in rule:
                if v < chance:
                    if number and number not in codes:
                        codes.append(number)
                    break
                v -= chance

    def _list_companions(self, pdx: int) -> Iterator[list[tuple[int, float]]]:
        """Yield the rules of the longest listed prefix of a PDX: numbers and their shares."""
        text = self._text[pdx - 1]
        for length in range(len(text), 2, -1):
            if text[:length] in self._companions:
                yield from self._companions[text[:length]]
                return

    def _limit_patient(
        self, drg: int, pdx: int, sdx: tuple[int, ...], procedures: tuple[int, ...], status: int, sex: int
    ) -> Template | None:
        """Return the template with the sex and ages that its codes allow, or None for no one."""
        limits = self.code_limits
        dx = (pdx, *sdx)
        sexes = {sex, *(int(limits.dx_sex[n]) for n in dx), *(int(limits.procedure_sex[n]) for n in procedures)}
        sexes.discard(EITHER)
        low, high = max(int(limits.dx_min_age[n]) for n in dx), min(int(limits.dx_max_age[n]) for n in dx)
        if len(sexes) > 1 or low > high:
            return None
        return Template(drg, pdx, sdx, procedures, status, sexes.pop() if sexes else EITHER, low, high)

    def _pick_procedures(self, requirement: Requirement, spare: Iterator[float]) -> tuple[int, ...] | None:
        """Pick procedures until the requirement is satisfied; None where no code can satisfy it.

        A procedure that carries the operands of several required procedures counts for all of them.
        """
        chosen: list[int] = []
        left = list(requirement.procedures)
        while left:
            carriers = self._find_procedures(tuple(left), requirement.not_procedure)
            number = carriers.pick(next(spare)) if carriers else 0
            if number in chosen:
                number = carriers.pick(next(spare)) if carriers else 0
            if not number or number in chosen:
                return None
            chosen.append(number)
            carried = self._operands_of[number]
            satisfied: list[ProcedureOperands] = []
            for operands in left:
                # The same operands twice require two procedures (counted words).
                if operands not in satisfied and all(name in carried for name in operands):
                    satisfied.append(operands)
            for operands in satisfied:
                left.remove(operands)
        return self._resolve_clusters(chosen, spare)

    def _resolve_clusters(self, chosen: Sequence[int], spare: Iterator[float]) -> tuple[int, ...]:
        """Return the codes of procedures and clusters; a cluster gives its most common codes."""
        codes: list[int] = []
        for number in chosen:
            for choice in self._cluster_choices.get(number, [[number]]):
                best = max(self._procedure_weight.get(n, 0.0) for n in choice)
                common = [n for n in choice if self._procedure_weight.get(n, 0.0) == best]
                codes.append(common[int(next(spare) * len(common))])
        return tuple(dict.fromkeys(codes))

    def _find_procedures(self, required: tuple[ProcedureOperands, ...], refused: frozenset[str]) -> _Carriers | None:
        """Return procedures and clusters that carry the operands of the first required procedure.

        Those that also carry the operands of others weigh more; none carries a refused operand.
        """
        key = (required, refused)
        if key not in self._cache:
            nobody: list[int] = []
            operands_of = self._operands_of
            members = set(self._procedures_by_operand.get(required[0][0], nobody))
            members = {n for n in members if operands_of[n] >= set(required[0]) and not operands_of[n] & refused}
            others = [set(operands) for operands in dict.fromkeys(required[1:])]
            bonus = {n: _FURTHER_OPERAND_RATIO ** sum(operands_of[n] >= other for other in others) for n in members}
            listed = {n: self._procedure_weight[n] * bonus[n] for n in members if n in self._procedure_weight}
            rest = sorted(members - set(listed))
            scale = sum(listed.values()) or 1.0
            tail = sum(bonus[n] for n in rest) or 1.0
            weights = {**dict(sorted(listed.items())), **{n: 0.1 * scale * bonus[n] / tail for n in rest}}
            self._cache[key] = _Carriers(list(weights), np.cumsum(list(weights.values())).tolist()) if weights else None
        return self._cache[key]

    def _find_sdx(self, name: str) -> _Carriers | None:
        """Return the secondary diagnoses that carry an operand."""
        if name not in self._cache:
            nobody: list[int] = []
            numbers = np.array(sorted(set(self._dx_by_operand.get(name, nobody))), np.int64)
            weights = {
                int(n): self._sdx_weight.get(int(n), 0.0) + 1e-4 * float(self.code_limits.likely[n]) for n in numbers
            }
            self._cache[name] = (
                _Carriers(list(weights), np.cumsum(list(weights.values())).tolist()) if weights else None
            )
        return self._cache[name]


def _index_by_operand(frame: pl.DataFrame, *columns: str) -> dict[str, list[int]]:
    """Return the numbers of the codes that carry each operand."""
    found: dict[str, list[int]] = {}
    for number, *lists in frame.select("number", *columns).rows():
        for names in lists:
            for name in (names or "").split():
                found.setdefault(name, []).append(number)
    return found
