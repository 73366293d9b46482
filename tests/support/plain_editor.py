"""The Medicare Code Editor and the conversion of codes in plain Python, one claim and one code at a time.

Written from the rules and not from `drgsim.editing`: no shared code but the table files. Text is read as CMS's program
reads it, letter by letter.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections import Counter
from functools import cache
from pathlib import Path

from drgsim.tables.manifest import table_folder

ORDER = [
    "INVALID_CODE",
    "SEX_CONFLICT",
    "AGE_CONFLICT",
    "QUESTIONABLE_ADMISSION",
    "MANIFESTATION_AS_PDX",
    "E_CODE_AS_PDX",
    "UNACCEPTABLE_PDX",
    "DUPLICATE_OF_PDX",
    "REQUIRES_SDX",
    "NON_COVERED",
    "LIMITED_COVERAGE",
    "QUESTIONABLE_OBSTETRIC_ADMISSION",
    "INVALID_ADMIT_DX",
    "INVALID_AGE",
    "INVALID_SEX",
    "INVALID_DISCHARGE_STATUS",
    "WRONG_PROCEDURE_PERFORMED",
    "INCONSISTENT_WITH_LENGTH_OF_STAY",
    "UNSPECIFIED",
]


def rows(name: str) -> list[dict[str, str]]:
    with Path(table_folder() / name).open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def versions() -> list[tuple[str, dt.date, dt.date]]:
    """Version, first and last day; the time before ICD-10 comes first."""
    day = dt.date.fromisoformat
    return [(row["version"], day(row["first_date"]), day(row["last_date"])) for row in rows("editing/versions.csv")]


@cache
def flags_of(kind: str) -> dict[tuple[str, str], set[str]]:
    """Flags by version and code."""
    names = [version for version, _, _ in versions()]
    found = {}
    for row in rows(f"editing/{kind}.csv"):
        first, last = names.index(row["first_version"]), names.index(row["last_version"])
        for version in names[first : last + 1]:
            found[version, row["code"]] = set(row["flags"].split())
    return found


def holding(table: str, date: dt.date) -> list[dict[str, str]]:
    """Rows of a table with dates that hold on a day."""
    day = date.isoformat()
    return [row for row in rows_once(table) if row["first_date"] <= day <= (row["last_date"] or "9999")]


@cache
def rows_once(name: str) -> list[dict[str, str]]:
    return rows(name)


def outside(flag: str, value: int, date: dt.date) -> bool:
    row = next(row for row in holding("editing/limits.csv", date) if row["flag"] == flag)
    return value < int(row["minimum"]) or (row["maximum"] != "" and value > int(row["maximum"]))


def is_blank(text: str | None) -> bool:
    return not text or all(letter <= " " for letter in text) or set(text) == {"0"}


class PlainClaim:
    """One claim, edited when it is made."""

    def __init__(self, claim: dict[str, object]) -> None:
        self.date = claim["discharge_date"]
        self.age = -1 if claim["age"] is None else claim["age"]
        self.sex = "U" if claim["sex"] is None else claim["sex"]
        self.status, self.los = claim["discharge_status"], claim.get("los_days")
        self.pdx, self.sdx = claim["pdx"], list(claim["sdx"] or [])
        self.procedures, self.admit = list(claim["procedures"] or []), claim.get("admit_dx")
        self.pdx_marks: set[str] = set()
        self.sdx_marks: list[set[str]] = [set() for _ in self.sdx]
        self.procedure_marks: list[set[str]] = [set() for _ in self.procedures]
        self.admit_marks: set[str] = set()
        self.pdx_group: str | None = None
        self.sdx_groups: list[str | None] = [None for _ in self.sdx]
        self.counts: Counter[str] = Counter()
        self.version = next((v for v, first, last in versions() if self.date and first <= self.date <= last), None)
        self.edit_type = "INVALID_DISCHARGE_DATE"
        if self.version:
            self.edit()

    def edit(self) -> None:
        self.edit_claim()
        moved = self.pdx is None and len(self.sdx) > 0
        principal = self.sdx[0] if moved else self.pdx
        others = range(1 if moved else 0, len(self.sdx))
        marks, group = self.edit_diagnosis(principal)
        marks |= self.edit_principal(principal, alone=not others)
        if moved:
            self.sdx_marks[0], self.sdx_groups[0] = marks, group
        else:
            self.pdx_marks, self.pdx_group = marks, group
        for place in others:
            text = self.sdx[place]
            if not is_blank(text):
                self.sdx_marks[place], self.sdx_groups[place] = self.edit_diagnosis(text)
            if (text or "") == (principal or ""):
                self.sdx_marks[place].add("DUPLICATE_OF_PDX")
        self.edit_procedures(principal, [self.sdx[place] for place in others])
        if not is_blank(self.admit):
            found, _ = self.edit_diagnosis(self.admit)
            self.admit_marks = (
                {"INVALID_ADMIT_DX"} if "INVALID_CODE" in found else found & {"SEX_CONFLICT", "AGE_CONFLICT"}
            )
        for each in [self.pdx_marks, *self.sdx_marks, *self.procedure_marks]:
            self.counts.update(each)
        self.counts.update(self.admit_marks & {"INVALID_ADMIT_DX"})
        self.edit_type = "PREPAYMENT" if set(self.counts) - {"INVALID_ADMIT_DX"} else "NONE"

    def edit_claim(self) -> None:
        if self.age < 0 or self.age > 124:
            self.counts["INVALID_AGE"] = 1
        accepted = {"M", "F", "U"} if self.date >= dt.date(2024, 10, 1) else {"M", "F"}
        if self.sex not in accepted:
            self.counts["INVALID_SEX"] = 1
        valid = {int(row["discharge_status"]) for row in holding("editing/discharge_statuses.csv", self.date)}
        if self.status not in valid:
            self.counts["INVALID_DISCHARGE_STATUS"] = 1

    def flags(self, kind: str, text: str | None) -> set[str] | None:
        """Flags of a code, or None where it is not valid."""
        return flags_of(kind).get((self.version, (text or "").upper()))

    def conflicts_with_sex(self, flags: set[str]) -> bool:
        return ("male" in flags and self.sex != "M") or ("female" in flags and self.sex != "F")

    def edit_diagnosis(self, text: str | None) -> tuple[set[str], str | None]:
        flags = None if is_blank(text) else self.flags("diagnoses", text)
        if flags is None:
            return {"INVALID_CODE"}, None
        marks, group = set(), None
        if self.conflicts_with_sex(flags):
            marks.add("SEX_CONFLICT")
        for name in flags & {"newborn", "pediatric", "maternity", "adult"}:
            if outside(name, self.age, self.date):
                marks.add("AGE_CONFLICT")
                group = name.upper()
        if "wrong_procedure" in flags:
            marks.add("WRONG_PROCEDURE_PERFORMED")
        if "unspecified" in flags:
            marks.add("UNSPECIFIED")
        return marks, group

    def edit_principal(self, text: str | None, *, alone: bool) -> set[str]:
        flags = (not is_blank(text) and self.flags("diagnoses", text)) or set()
        marks = set()
        if "external_cause" in flags:
            marks.add("E_CODE_AS_PDX")
        if "manifestation" in flags:
            marks.add("MANIFESTATION_AS_PDX")
        if "questionable_admission" in flags:
            marks.add("QUESTIONABLE_ADMISSION")
        if "requires_secondary" in flags:
            if alone:
                marks.add("REQUIRES_SDX")
        elif "unacceptable" in flags:
            marks.add("UNACCEPTABLE_PDX")
        return marks

    def edit_procedures(self, principal: str | None, secondary: list[str | None]) -> None:
        of_secondary = set().union(*(self.flags("diagnoses", text) or set() for text in secondary))
        dx = of_secondary | (self.flags("diagnoses", principal) or set())
        on_claim = set().union(*(self.flags("procedures", text) or set() for text in self.procedures))
        for marks, text in zip(self.procedure_marks, self.procedures, strict=True):
            if is_blank(text):
                continue
            flags = self.flags("procedures", text)
            if flags is None:
                marks.add("INVALID_CODE")
                continue
            if self.conflicts_with_sex(flags):
                marks.add("SEX_CONFLICT")
            hearts = {"heart_replacement_right", "heart_replacement_left"}
            pair = bool(flags & hearts) and hearts <= on_claim
            if (
                "noncovered" in flags
                or (
                    "pancreas_transplant" in flags and "kidney_transplant" not in on_claim and "islet_failure" not in dx
                )
                or ("cells_leukemia" in flags and "leukemia" in dx)
                or ("cells_myeloma" in flags and "myeloma" in dx)
                or ("disc_prosthesis" in flags and not 0 <= self.age <= 60)
                or ("sterilization" in flags and "sterilization" in dx)
                or (pair and "clinical_trial" not in dx)
            ):
                marks.add("NON_COVERED")
            elif "limited" in flags or pair:
                marks.add("LIMITED_COVERAGE")
            if flags & {"cesarean", "vaginal_delivery"} and "delivery_outcome" not in of_secondary:
                marks.add("QUESTIONABLE_OBSTETRIC_ADMISSION")
            if "ventilation" in flags and self.los is not None and self.los <= 4:
                marks.add("INCONSISTENT_WITH_LENGTH_OF_STAY")

    def answer(self) -> dict[str, object]:
        """Everything `edit(..., detail=True)` adds."""

        def ordered(marks: set[str]) -> list[str]:
            return [name for name in ORDER if name in marks]

        names = ordered(set(self.counts))
        return {
            "edit_type": self.edit_type,
            "edits": names,
            "edit_counts": [self.counts[name] for name in names],
            "pdx_edits": ordered(self.pdx_marks),
            "sdx_edits": [ordered(marks) for marks in self.sdx_marks],
            "proc_edits": [ordered(marks) for marks in self.procedure_marks],
            "admit_dx_edits": ordered(self.admit_marks),
            "pdx_age_conflict": self.pdx_group,
            "sdx_age_conflict": self.sdx_groups,
        }


def plain_conversion(code: str, source: str, target: str, kind: str) -> tuple[str, list[str]]:
    """Status and candidates of one code in another version."""
    valid, names = flags_of(kind), [version for version, _, _ in versions()]
    if (source, code) not in valid:
        return "INVALID", []
    forward = names.index(source) <= names.index(target)
    low, high = sorted((names.index(source), names.index(target)))
    found = {code}
    for place in range(low + 1, high + 1) if forward else range(high, low, -1):
        version = names[place] if forward else names[place - 1]
        old, new = ("previous_code", "current_code") if forward else ("current_code", "previous_code")
        after = set()
        for each in found:
            if (version, each) in valid:
                after.add(each)
            else:
                pairs = pairs_of(kind, names[place])
                after |= {row[new] for row in pairs if row[old] == each and (version, row[new]) in valid}
        found = after
    status = "SAME" if found == {code} else {0: "NONE", 1: "ONE"}.get(len(found), "MANY")
    return status, sorted(found)


@cache
def pairs_of(kind: str, version: str) -> list[dict[str, str]]:
    return [row for row in rows_once(f"conversion/{kind}.csv") if row["version"] == version]
