"""The grouper's path to the DRG of one admission, as data: what each step saw and decided.

Everything is the engine's own: `run_steps` keeps what each step decided, `search_mdcs` notes the MDCs that it
searched, and `report_codes` returns what CMS's grouper reports of each code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import polars as pl

from drgsim.explanation.operand_sources import OPERANDS, OperandSources, find_lacking_operands
from drgsim.grouping.bit_layout import PRE_MDC
from drgsim.grouping.code_attributes import DEATH_EXCLUSION, SEVERITIES
from drgsim.grouping.code_reports import report_codes
from drgsim.grouping.grouping_steps import BY_DEATH, BY_LOGIC, BY_PDX, Steps, find_lost_severity
from drgsim.grouping.hac import EXCLUDED, MET, compile_hac_rules, observe_whole_claims
from drgsim.grouping.mdc_search import Decision, MdcSearch, search_mdcs
from drgsim.grouping.rulebook import NO_ROW
from drgsim.schema import ReturnCode
from drgsim.tables.encoding import HOSPITAL_STATUS
from drgsim.tables.formula import list_operands, parse_formula
from drgsim.tables.table_set import TableSet

INITIAL, FINAL = "initial", "final"

CODES = {
    "kind": pl.String(),
    "place": pl.UInt16(),
    "code": pl.String(),
    "description": pl.String(),
    "valid": pl.Boolean(),
    "poa": pl.String(),
    "severity": pl.String(),
    "used_initial": pl.String(),
    "used_final": pl.String(),
    "lost_initial": pl.String(),
    "lost_final": pl.String(),
    "impact": pl.String(),
    "is_or": pl.Boolean(),
    "poa_status": pl.String(),
    "hac": pl.String(),
}
STEPS = {
    "grouping": pl.String(),
    "mdc": pl.UInt8(),
    "title": pl.String(),
    "outcome": pl.String(),
    "drg": pl.UInt16(),
    "reroute_mdc": pl.UInt8(),
    "return_code": pl.String(),
    "formula": pl.String(),
    "suppressed_by": pl.String(),
}
DECIDED = {"grouping": pl.String(), "mdc": pl.UInt8(), **OPERANDS}
FAILED = {
    "mdc": pl.UInt8(),
    "drg": pl.UInt16(),
    "title": pl.String(),
    "formula": pl.String(),
    "lacked": pl.List(pl.String()),
}
HACS = {
    "place": pl.UInt16(),
    "code": pl.String(),
    "hac": pl.UInt8(),
    "title": pl.String(),
    "label": pl.String(),
    "poa": pl.String(),
    "status": pl.String(),
    "why": pl.String(),
    "formula": pl.String(),
}
CLUSTERS = {
    "cluster": pl.String(),
    "codes": pl.List(pl.String()),
    "operands": pl.List(pl.String()),
    "hidden_in_mdcs": pl.List(pl.UInt8()),
}


@lru_cache(maxsize=4)
def _load_descriptions(tables: TableSet) -> dict[str, str]:
    return dict(tables.diagnosis_descriptions().iter_rows())


@dataclass(frozen=True, eq=False)
class GroupingPath:
    """The grouping of one admission, step by step.

    Args:
        grouping: the grouped admission.
        texts: its codes, normalised: principal, secondary, procedures.
        poa: the POA letters of the secondary codes, None where there are none.
        status: its discharge status in words.
    """

    grouping: Steps
    texts: tuple[str, list[str], list[str]]
    poa: list[str | None]
    status: str

    # ------------------------------------------------------------------------------------------- codes

    @cached_property
    def codes(self) -> pl.DataFrame:
        """Every code: validity, severity listed and used, what took it away, impact. See CODES."""
        pdx, _, procedures = self.texts
        report = self.code_report
        first = {name: report[f"pdx_{name}"] for name in ("valid", "impact", "hac", "poa_status")}
        rows: list[dict[str, object]] = [{"kind": "pdx", "code": pdx, **first}, *self._list_sdx()]
        for place, code in enumerate(procedures):
            own = {name: report[f"proc_{name}"][place] for name in ("valid", "impact", "is_or")}
            hac = report["proc_hac_usage"][place]
            rows.append({"kind": "procedure", "place": place, "code": code, **own, "hac": hac})
        frame = pl.DataFrame(rows, schema={name: of for name, of in CODES.items() if name != "description"})
        descriptions = _load_descriptions(self.grouping.rules.tables)
        names = pl.Series([descriptions.get(code) for code in frame["code"]], dtype=pl.String)
        is_diagnosis = pl.col("kind") != "procedure"  # no table describes procedures
        return frame.with_columns(description=pl.when(is_diagnosis).then(names)).select(list(CODES))

    def _list_sdx(self) -> Iterator[dict[str, object]]:
        """Yield the row of each secondary code."""
        sdx, report, grouping = self.texts[1], self.code_report, self.grouping
        level, _ = find_lost_severity(grouping, grouping.initial)
        nothing: list[str | None] = [None] * len(sdx)
        lost_initial, lost_final = (
            self._explain_lost_severity(decision) if grouping.initial_ok[0] else nothing
            for decision in (grouping.initial, grouping.final)
        )
        for place, code in enumerate(sdx):
            yield {
                "kind": "sdx",
                "place": place,
                "code": code,
                "poa": self.poa[place],
                "severity": SEVERITIES[level[place]],
                "used_initial": report["sdx_sev_initial"][place],
                "used_final": report["sdx_sev_final"][place],
                "lost_initial": lost_initial[place],
                "lost_final": lost_final[place],
                **{name: report[f"sdx_{name}"][place] for name in ("valid", "impact", "poa_status", "hac")},
            }

    @cached_property
    def code_report(self) -> dict[str, Any]:
        """What CMS's grouper reports of each code, `schema.DETAIL`."""
        _, sdx, procedures = self.texts
        return report_codes(self.grouping, sdx, procedures).row(0, named=True)

    def _explain_lost_severity(self, decision: Decision) -> list[str | None]:
        """Return what took each secondary code's severity away in a pass, in words, or None."""
        _, lost = find_lost_severity(self.grouping, decision)
        rules = self.grouping.rules
        row = int(decision.row[0])
        suppression = rules.rulebook.layout.suppressions[int(rules.rulebook.suppression[row])]
        kinds = rules.diagnoses.kind[self.grouping.encoded.sdx].tolist()
        words: list[str | None] = []
        for position, taken in enumerate(lost.tolist()):
            by = rules.diagnoses.kinds[kinds[position]].suppressed_by
            if taken == BY_PDX:
                words.append(f"excluded beside {self.texts[0]}, exclusion group {self._exclusion_group}")
            elif taken == BY_DEATH:
                words.append(f"the patient died, operand {DEATH_EXCLUSION}")
            elif taken == BY_LOGIC:
                words.append(f"suppressed by the formula row, operand {', '.join(sorted(by & suppression))}")
            elif decision is not self.grouping.initial and position in self.met:
                words.append("hospital-acquired condition")
            else:
                words.append(None)
        return words

    @cached_property
    def _exclusion_group(self) -> int | None:
        table = self.grouping.rules.tables.pdx_exclusions
        return next(iter(table.filter(pl.col("pdx") == self.texts[0])["group"]), None)

    # ------------------------------------------------------------------------------------------- passes

    @cached_property
    def met(self) -> frozenset[int]:
        """Places of secondary codes with a hospital-acquired condition met."""
        return frozenset(self.grouping.hac.met.tolist())

    @cached_property
    def passes(self) -> dict[str, Decision]:
        """The initial pass, and the final pass where it sees another severity."""
        final_differs = bool(self.grouping.final_ok[0]) and bool(self.met)
        return {INITIAL: self.grouping.initial} | ({FINAL: self.grouping.final} if final_differs else {})

    def find_sources(self, name: str) -> OperandSources:
        """Return the codes behind each operand in a pass."""
        pdx, sdx, procedures = self.texts
        met = self.met if name == FINAL else frozenset()
        return OperandSources(self.grouping, self.passes[name], pdx, sdx, procedures, self.status, met)

    def list_searches(self, name: str) -> list[tuple[int, int]]:
        """Return (MDC, row found or -1) of every search of a pass, in order."""
        trail: list[MdcSearch] = []
        grouping, decision = self.grouping, self.passes[name]
        again = search_mdcs(grouping.observed, grouping.encoded, grouping.rules, decision.severity_bits, trail=trail)
        assert again.row[0] == decision.row[0]
        found = [(int(search.mdc[0]), int(search.row[0])) for search in trail if len(search.admission)]
        # The engine does not search a pre-MDC of which no row can be true; the search would find nothing.
        return found if found[0][0] == PRE_MDC else [(PRE_MDC, NO_ROW), *found]

    @cached_property
    def steps(self) -> pl.DataFrame:
        """Every search: the MDC, and the formula row that ended it. See STEPS."""
        book, tables = self.grouping.rules.rulebook, self.grouping.rules.tables
        titles = dict(tables.mdc_titles.select("mdc", "title").iter_rows())
        codes = ReturnCode.categories.to_list()
        rows = []
        for name in self.passes:
            for mdc, row in self.list_searches(name):
                drg, reroute = (int(book.drg[row]), int(book.reroute_mdc[row])) if row != NO_ROW else (0, 0)
                failed = codes[book.return_code[row]] if row != NO_ROW and book.return_code[row] else None
                outcome = "DRG" if drg else "reroute" if reroute else "return code" if failed else "nothing"
                suppressed = sorted(book.layout.suppressions[int(book.suppression[row])]) if row != NO_ROW else []
                formula = book.formulas[row] if row != NO_ROW else None
                result = (drg or None, reroute or None, failed, formula, " ".join(suppressed) or None)
                rows.append((name, mdc, titles.get(mdc), outcome, *result))
        return pl.DataFrame(rows, schema=STEPS, orient="row")

    @cached_property
    def decided(self) -> pl.DataFrame:
        """Every operand of the formulas that ended a search: true or not, and why. See DECIDED."""
        parts = [pl.DataFrame(schema=DECIDED)]
        for name in self.passes:
            sources = self.find_sources(name)
            for mdc, row in self.list_searches(name):
                if row != NO_ROW:
                    where = pl.lit(name).alias("grouping"), pl.lit(mdc, pl.UInt8).alias("mdc")
                    parts.append(sources.list_operands(row).select(*where, pl.all()))
        return pl.concat(parts)

    @cached_property
    def failed(self) -> pl.DataFrame:
        """The false formulas before the deciding row of the last pass, nearest first. See FAILED.

        The nearest lack the fewest operands; among equals the family of the DRG is first, then the last tried.
        """
        name = list(self.passes)[-1]
        book, sources = self.grouping.rules.rulebook, self.find_sources(name)
        titles = dict(self.grouping.rules.tables.drg_titles.select("drg", "title").iter_rows())
        family = int(book.base_drg[self.passes[name].row[0]])
        found: list[tuple[tuple[int, bool, int], tuple[object, ...]]] = []
        for mdc, end in self.list_searches(name):
            for row in self._list_tried(mdc, end):
                drg = int(book.drg[row])
                missing = find_lacking_operands(book.formulas[row], sources.make_truth(row))
                title = titles.get(drg, f"reroute to MDC {book.reroute_mdc[row]}")
                nearness = len(missing), int(book.base_drg[row]) != family, -len(found)
                found.append((nearness, (mdc, drg or None, title, book.formulas[row], list(missing))))
        return pl.DataFrame([row for _, row in sorted(found, key=lambda item: item[0])], schema=FAILED, orient="row")

    def _list_tried(self, mdc: int, end: int) -> Iterator[int]:
        """Yield the false rows that lead to a DRG or reroute, up to the row that ended the search."""
        book = self.grouping.rules.rulebook
        for row in np.flatnonzero(book.mdc[:-1] == mdc).tolist():
            if row == end:
                return
            if book.drg[row] or book.reroute_mdc[row]:
                yield row

    # --------------------------------------------------------------------------------- conditions, clusters

    @cached_property
    def hacs(self) -> pl.DataFrame:
        """Every hospital-acquired condition that a secondary code can be, and its status. See HACS."""
        rules, encoded = self.grouping.rules, self.grouping.encoded
        if not self.grouping.initial_ok[0]:
            return pl.DataFrame(schema=HACS)
        entries = compile_hac_rules(rules)
        result = self.grouping.hac
        status = {
            (int(p), int(e)): int(s)
            for p, e, s in zip(result.entry_position, result.entry, result.entry_status, strict=True)
        }
        titles = dict(rules.tables.hac_titles.select("hac", "title").iter_rows())
        texts: dict[int, str] = dict(rules.tables.hac_formulas.select("hac", "formula").iter_rows())
        rows = []
        for place, kind in enumerate(rules.diagnoses.kind[encoded.sdx].tolist()):
            for entry in range(*entries.start[[kind, kind + 1]].tolist()):
                number = int(entries.number[entry])
                decided, why = self._decide_hac(place, status.get((place, entry)), texts.get(number))
                row = (place, self.texts[1][place], number, titles.get(number), entries.label[entry], self.poa[place])
                rows.append((*row, decided, why, texts.get(number)))
        return pl.DataFrame(rows, schema=HACS, orient="row")

    def _decide_hac(self, place: int, status: int | None, formula: str | None) -> tuple[str, str]:
        """Return the status of one condition of one code, and why."""
        letter = self.poa[place]
        if self.grouping.encoded.hospital_status[0] == HOSPITAL_STATUS["EXEMPT"]:
            return "EXEMPT", "the hospital does not report POA"
        if status is None:
            return "NOT_MET", f"present on admission ({letter})"
        poa = f"POA {letter}" if letter else "no POA letter"
        if status == EXCLUDED:
            return "EXCLUDED", f"no CC or MCC beside {self.texts[0]}"
        if status == MET:
            return "MET", f"not present on admission ({poa}), and {formula} is true"
        missing = find_lacking_operands(formula, self._has_hac_operand) if formula else ()
        if missing:
            return "NOT_MET", f"{formula} lacks {', '.join(missing)}"
        return "NOT_MET", "the code only shows the condition, and no code of the condition itself is met"

    def _has_hac_operand(self, operand: str) -> bool:
        return bool(self._hac_operands >> compile_hac_rules(self.grouping.rules).bit[operand] & 1)

    @cached_property
    def _hac_operands(self) -> int:
        """What the formulas of the conditions see of the claim."""
        observed, encoded, rules = self.grouping.observed, self.grouping.encoded, self.grouping.rules
        carrying = np.flatnonzero(rules.diagnoses.kind_hac[observed.named_kind])
        return int(observe_whole_claims(observed, encoded, rules, carrying, rows=np.array([0]))[0])

    @cached_property
    def clusters(self) -> pl.DataFrame:
        """Every cluster present: codes, operands, MDCs that do not see the codes. See CLUSTERS."""
        rules = self.grouping.rules
        used = {name for text in rules.rulebook.formulas for name in list_operands(parse_formula(text))}
        clusters = rules.procedures.clusters
        rows = [
            (name, parts, sorted(own & used), [mdc for mdc in range(32) if int(clusters.suppressed[number]) >> mdc & 1])
            for number, (name, own, parts) in zip(
                self.grouping.observed.cluster.tolist(), self.find_sources(INITIAL).list_clusters(), strict=True
            )
        ]
        return pl.DataFrame(rows, schema=CLUSTERS, orient="row")

    # ------------------------------------------------------------------------------------------- the MDC

    @cached_property
    def why_mdc(self) -> str:
        """Why the admission is in its MDC, in words."""
        if not self.grouping.final_ok[0]:
            return "none, the admission cannot be grouped"
        steps = self.steps.filter(pl.col("grouping") == pl.col("grouping").last(), pl.col("outcome") != "nothing")
        tables, pdx = self.grouping.rules.tables, self.texts[0]
        titles = dict(tables.mdc_titles.select("mdc", "title").iter_rows())
        first = steps.row(0, named=True)
        own = int(self.grouping.rules.rulebook.class_mdc[int(self.grouping.observed.pdx_class[0])])
        by_sex = " for a patient of this sex" if pdx in set(tables.sex_mdcs["pdx"]) else ""
        belongs = f"{pdx} belongs to MDC {own} ({titles.get(own)}){by_sex}"
        if first["mdc"] == PRE_MDC and first["outcome"] == "reroute":
            moved = first["reroute_mdc"]
            return f"the pre-MDC moved it to MDC {moved} ({titles.get(moved)}); {belongs}"
        if first["mdc"] == PRE_MDC:
            return f"{belongs}; a pre-MDC DRG keeps it"
        if first["outcome"] == "reroute":
            return f"{belongs}; going on in MDC {first['reroute_mdc']} keeps it"
        return belongs
