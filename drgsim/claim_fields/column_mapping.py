"""Which column of a file holds which field: `ColumnMapping`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drgsim.claim_fields.assembly import SOURCES
from drgsim.claim_fields.bill_rules import BILL_FIELDS
from drgsim.exceptions import InputError, SchemaError, did_you_mean
from drgsim.files.bounded import MOST_SETTINGS, parse_toml, read_whole
from drgsim.schema import ADMISSIONS

CODE_FIELDS: Mapping[str, str] = {
    "pdx": "principal diagnosis",
    "pdx_poa": "its POA indicator",
    "dx": "diagnoses in order, numbered by {n}; without pdx the first is the principal one",
    "poa": "POA indicators of dx",
    "sdx": "secondary diagnoses: cells that may hold several codes, or numbered by {n}",
    "sdx_poa": "POA indicators of sdx",
    "pr": "procedures, numbered by {n}",
    "procedures": "procedures: cells that may hold several codes",
    "dx_version": "revision of ICD of diagnoses: one column, or numbered by {n} as dx",
    "pr_version": "revision of ICD of procedures: one column, or numbered by {n} as pr",
}
"""Fields of codes, and what each is. A field of codes may have a list of columns."""
_OTHERS = ("patient_id", "ms_drg_recorded")
SCALAR_FIELDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            "claim_id",
            *(name for name in ADMISSIONS.names if name not in (*CODE_FIELDS, "admission_id")),
            *SOURCES,
            *_OTHERS,
            *(name for name in BILL_FIELDS if BILL_FIELDS[name]),
        ]
    )
)
"""Fields with one value a claim: of ADMISSIONS, those from which others are derived, and the kind of bill."""
_NUMBER = "{n}"
_PAIRS = {"poa": "dx", "sdx_poa": "sdx", "pdx_poa": "pdx"}
_SHARED = (("pdx", "dx"), ("pdx_poa", "poa"), ("dx_version", "pr_version"))
"""Fields that may name one column."""


@dataclass(frozen=True)
class ColumnMapping:
    """A mapping from fields to columns of a file, and from its texts to values.

    * `columns`: for each field the columns that hold it; `{n}` in a name stands for a number.
    * `values`: for each field, what texts of the file mean, such as {"discharge_status": {"home": "01"}}.

    >>> mapping = ColumnMapping.from_names({"claim_id": "Patient Account", "dx": "Dx {n}", "age": "Age"})
    >>> found, missing = mapping.find_columns(["PATIENT ACCOUNT", "Dx 1", "Dx 02", "Dx 10"])
    >>> found["dx"], [name for _, name in missing]
    ({1: 'Dx 1', 2: 'Dx 02', 10: 'Dx 10'}, ['Age'])
    """

    columns: Mapping[str, tuple[str, ...]]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_names(cls, columns: ColumnMapping | Mapping[str, Any] | str | os.PathLike[str]) -> ColumnMapping:
        """Return the mapping of names of fields to names of columns, or that of a TOML file.

        Args:
            columns: a mapping, or the path of a TOML file with the same entries. The entry `values` holds a table for
                each field whose texts mean something else.

        Raises:
            InputError: the file cannot be read, a field is not known, or a value is no text; all are listed.

        >>> ColumnMapping.from_names({"dx": "Dx {n}"}).columns
        {'dx': ('Dx {n}',)}
        """
        if isinstance(columns, ColumnMapping):
            return columns
        where = "columns"
        if not isinstance(columns, Mapping):
            where = os.fspath(columns)
            path = Path(columns)
            columns = parse_toml(read_whole(path, MOST_SETTINGS, InputError), path, InputError)
        given, wrong = dict(columns), []
        values = given.pop("values", {})
        named = {name: (one,) if isinstance(one, str) else one for name, one in given.items()}
        for name, one in named.items():
            if name not in CODE_FIELDS and name not in SCALAR_FIELDS:
                wrong.append(f"no field {name!r}.{did_you_mean(str(name), [*CODE_FIELDS, *SCALAR_FIELDS])}")
            elif not isinstance(one, Sequence) or not one or not all(isinstance(text, str) and text for text in one):
                wrong.append(
                    f"{name} is {type(given[name]).__name__}, expected the name of a column, or a list of names."
                )
            elif name in SCALAR_FIELDS and (len(one) > 1 or _NUMBER in one[0]):
                wrong.append(f"{name} has one value a claim, so it needs the name of one column.")
        if not isinstance(values, Mapping) or not all(
            name in SCALAR_FIELDS and isinstance(table, Mapping) for name, table in values.items()
        ):
            wrong.append("values must hold a table for each field, such as [values.discharge_status].")
        if wrong:
            raise InputError(f"{where}: {len(wrong)} entries cannot be used. {' '.join(wrong)}")
        return cls(
            {name: tuple(one) for name, one in named.items()},
            {name: {str(text): str(means) for text, means in table.items()} for name, table in values.items()},
        )

    def find_columns(self, names: Iterable[str]) -> tuple[dict[str, dict[int, str]], list[tuple[str, str]]]:
        """Return the columns of each field by number, and the columns that are not there.

        Case and the number of blanks do not count. Columns without `{n}` are numbered from 1.

        Args:
            names: the columns of the file.

        >>> ColumnMapping.from_names({"dx": ["Principal", "Other {n}"]}).find_columns(["Principal", "Other 1"])
        ({'dx': {1: 'Principal', 2: 'Other 1'}}, [])
        """
        known = {_normalise(name): name for name in names}
        found: dict[str, dict[int, str]] = {}
        missing: list[tuple[str, str]] = []
        for name, wanted in self.columns.items():
            columns: dict[int, str] = {}
            for one in wanted:
                numbered = _match_numbered(one, known) if _NUMBER in one else {}
                if numbered and not columns:  # numbers of the file pair codes with POA indicators
                    columns |= numbered
                elif numbered:
                    start = max(columns)
                    columns |= {start + place: numbered[n] for place, n in enumerate(sorted(numbered), 1)}
                elif _normalise(one) in known:
                    columns[max(columns, default=0) + 1] = known[_normalise(one)]
                else:
                    missing.append((name, one))
            if columns:
                found[name] = columns
        return found, missing


def describe_missing(missing: Sequence[tuple[str, str]], names: Sequence[str]) -> list[str]:
    """Return a sentence for each column that a mapping names and the file lacks.

    >>> describe_missing([("age", "Agee")], ["Age", "Sex"])
    ["age: no column 'Agee'. Did you mean 'Age'?"]
    """
    return [f"{name}: no column {one!r}.{did_you_mean(one, names)}" for name, one in missing]


def refuse_impossible(found: Mapping[str, Mapping[int, str]]) -> list[str]:
    """Return a sentence for each field that cannot be read without another.

    >>> refuse_impossible({"poa": {1: "POA 1"}})
    ['no field of diagnoses: give dx, or pdx and sdx.', 'poa: needs dx.']
    """
    wrong = [] if "dx" in found or "pdx" in found else ["no field of diagnoses: give dx, or pdx and sdx."]
    wrong += [f"{poa}: needs {codes}." for poa, codes in _PAIRS.items() if poa in found and codes not in found]
    holders: dict[str, str] = {}
    for name, columns in found.items():
        for column in columns.values():
            other = holders.setdefault(column, name)
            if other != name and not any({name, other} <= {*pair} for pair in _SHARED):
                wrong.append(f"column {column!r} is both {other} and {name}.")
    return wrong


def raise_problems(where: Path | str, problems: Sequence[str]) -> None:
    """Raise one error that lists all problems; nothing where there is none.

    Raises:
        SchemaError: there are problems.

    >>> raise_problems("a.csv", ["age: no column 'Age'.", "sex: no column 'Sex'."])
    Traceback (most recent call last):
    drgsim.exceptions.SchemaError: a.csv: 2 problems. (1) age: no column 'Age'. (2) sex: no column 'Sex'.
    """
    if problems:
        listed = " ".join(f"({place}) {text}" for place, text in enumerate(problems, 1))
        raise SchemaError(f"{where}: {len(problems)} problem{'s' if len(problems) > 1 else ''}. {listed}")


# ---------------------------------------------------------------------------------------------------------


def _normalise(name: str) -> str:
    return " ".join(name.split()).casefold()


def _match_numbered(template: str, known: Mapping[str, str]) -> dict[int, str]:
    before, _, after = _normalise(template.replace(_NUMBER, "\0")).partition("\0")
    pattern = re.compile(rf"{re.escape(before)}0*(\d+){re.escape(after)}")
    matches = ((pattern.fullmatch(low), name) for low, name in known.items())
    return dict(sorted((int(match[1]), name) for match, name in matches if match))
