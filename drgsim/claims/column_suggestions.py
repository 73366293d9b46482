"""Proposals which column of a file holds which field: `suggest_columns(path)`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from drgsim.claim_fields.code_cells import DX, PR, is_known_code, read_element, split_lists
from drgsim.claim_fields.column_mapping import CODE_FIELDS, SCALAR_FIELDS
from drgsim.claim_fields.column_synonyms import find_template, match_field
from drgsim.claim_fields.discharge_words import find_status
from drgsim.claim_fields.field_values import (
    blank_words,
    parse_dates,
    parse_labelled_numbers,
    parse_numbers,
    parse_poa,
    parse_sexes,
    parse_whole_numbers,
)
from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.claim_fields.source_files import read_text_table
from drgsim.claims.own_columns import find_pattern
from drgsim.files.atomic import replace_whole

_SAMPLE = 500
_MOSTLY = 0.6
_NOT_A_FIELD = {
    "admitting": "admitting diagnosis, not read: it decides no DRG",
    "external": "external causes, read after the other diagnoses",
}
_OF_CODES = ("pdx", "dx", "sdx", "pr", "poa", "pdx_poa", "sdx_poa", "external", "admitting")
_NEEDED = ("claim_id", "discharge_status", "age", "sex", "pr", "discharge_date")


@dataclass(frozen=True)
class ColumnSuggestions:
    r"""A proposal which column holds which field; as text it is a TOML file for `columns=`.

    * `columns`: field to column name, `{n}` for a number, or a list of names.
    * `values`: for fields whose texts are words, what they mean.
    * `notes`: what to look at before the proposal is used: columns with codes that are not read, fields that were not
      found, columns whose content does not fit their name. Notes show patterns, no cells.

    >>> str(ColumnSuggestions({"claim_id": "Acct", "dx": "Dx {n}"}, {}, ["age: no column found."]))
    'claim_id = "Acct"\ndx = "Dx {n}"\n\n# age: no column found.\n'
    """

    columns: Mapping[str, str | list[str]]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        """Return the TOML file."""
        text = tomli_w.dumps(dict(self.columns))
        if self.notes:
            text += "\n" + "".join(f"# {note}\n" for note in self.notes)
        if self.values:
            text += "\n" + tomli_w.dumps({"values": {name: dict(table) for name, table in self.values.items()}})
        return text

    def to_mapping(self) -> dict[str, Any]:
        """Return the proposal as `read_claims(columns=)` takes it.

        >>> ColumnSuggestions({"dx": "Dx {n}"}).to_mapping()
        {'dx': 'Dx {n}'}
        """
        return {**self.columns, **({"values": self.values} if self.values else {})}

    def save(self, path: str | os.PathLike[str]) -> None:
        r"""Write the TOML file, whole or not at all.

        Raises:
            InputError, StorageError: it cannot be written.

        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "columns.toml"
        >>> ColumnSuggestions({"dx": "Dx {n}"}).save(path)
        >>> path.read_text()
        'dx = "Dx {n}"\n'
        """
        with replace_whole(path) as unfinished:
            unfinished.write_text(str(self), "utf-8")


def suggest_columns(path: str | os.PathLike[str]) -> ColumnSuggestions:
    r"""Return a proposal which column of a file holds which field.

    Names and contents decide. A column is proposed where a synonym of a field is in its name and its content fits:
    codes of some grouper version, dates, sexes, statuses. Read the notes before you use it.

    Args:
        path: a Parquet, delimited text or Excel file with one row a claim.

    Raises:
        InputError: the file cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "export.csv"
    >>> text = "Patient Account,Disch Disp,Principal Dx,Dx 2,Billed DRG,Gender\n007,01,K81.0,I10,419,F\n"
    >>> _ = path.write_text(text)
    >>> suggestions = suggest_columns(path)
    >>> suggestions.columns["claim_id"], suggestions.columns["pdx"], suggestions.columns["dx"]
    ('Patient Account', 'Principal Dx', 'Dx {n}')
    >>> suggestions.notes[0]
    'age: no column found.'
    """
    table = read_text_table(Path(path), MappingProblems())
    notes: list[str] = []
    named: dict[str, list[tuple[str, dict[int, str]]]] = {}
    for template, group in _group_columns(table).items():
        name = match_field(next(iter(group.values())))
        sample = _take_sample(table, group.values())
        if name is None:
            _note_codes(template, sample, notes)
        elif not len(sample) or _fits(name, sample):
            named.setdefault(name, []).append((template, group))
        else:
            shown = find_pattern(sample)
            notes.append(f"{template}: its name is that of {name}, its content is not (such as {shown}).")
    columns = _choose_scalars(named, notes)
    columns |= _choose_codes(named, notes)
    values = _find_values(table, columns, notes)
    absent = [name for name in _NEEDED if name not in columns and not _is_derived(name, columns)]
    notes[:0] = [f"{name}: no column found." for name in absent]
    if "dx" not in columns and "pdx" not in columns:
        notes.insert(0, "no column of diagnoses found: give dx, or pdx and sdx.")
    order = [name for name in (*SCALAR_FIELDS, *CODE_FIELDS) if name in columns]
    return ColumnSuggestions({name: columns[name] for name in order}, values, notes)


# ---------------------------------------------------------------------------------------------- columns


def _group_columns(table: pl.DataFrame) -> dict[str, dict[int, str]]:
    """Return columns by their name with `{n}` for a number; a name that is alone stays as it is."""
    groups: dict[str, dict[int, str]] = {}
    for name in table.columns:
        found, field_of = find_template(name), match_field(name)
        if field_of is None:
            is_numbered = found is not None and _looks_like_codes(_take_sample(table, [name]))
        else:
            is_numbered = field_of in _OF_CODES
        if found and is_numbered and found[1] not in groups.get(found[0], {}):
            groups.setdefault(found[0], {})[found[1]] = name
        else:
            groups[name] = {1: name}
    return groups


def _take_sample(table: pl.DataFrame, columns: Any) -> pl.Series:
    """Return the first values of columns that are not blank."""
    parts = [blank_words(table[name].cast(pl.String)).drop_nulls().head(_SAMPLE) for name in columns]
    return pl.concat(parts).head(2 * _SAMPLE) if parts else pl.Series([], dtype=pl.String)


def _fits(name: str, sample: pl.Series) -> bool:
    """Return whether most of a sample can be values of a field."""
    checks: Mapping[str, Callable[[pl.Series], pl.Series]] = {
        "age": parse_whole_numbers,
        "los_days": parse_whole_numbers,
        "covered_charges_usd": parse_numbers,
        "noncovered_charges_usd": parse_numbers,
        "ms_drg_recorded": parse_labelled_numbers,
    }
    if name.endswith("_date") or name.startswith("statement_"):
        read = parse_dates(sample).dates.is_not_null()
    elif name in checks:
        read = checks[name](sample).is_not_null()
    elif name == "sex":
        read = parse_sexes(sample).is_in(["M", "F", "U"])
    elif name == "discharge_status":
        read = parse_labelled_numbers(sample).is_not_null()
        words = sample.filter(~read).unique()
        known = words.filter(pl.Series([find_status(text) is not None for text in words], dtype=pl.Boolean))
        read = read | sample.is_in(known.implode())
    elif name in ("poa", "pdx_poa", "sdx_poa"):
        read = parse_poa(sample.str.replace_all(r"[;,|\s\[\]'\"]", "").str.head(1)).is_in([*"YNUW1E0"])
    elif name in ("pdx", "dx", "sdx", "external", "admitting"):
        return _share_of_codes(sample, DX) >= _MOSTLY
    elif name == "pr":
        return _share_of_codes(sample, PR) >= _MOSTLY
    else:
        return True
    return bool(read.mean() >= _MOSTLY)  # type: ignore[operator]  # a sample is not empty


def _share_of_codes(sample: pl.Series, kind: str) -> float:
    """Return which share of the codes in cells are codes of some version."""
    codes = split_lists(sample).explode().drop_nulls()
    codes = codes.filter(codes != "").unique()
    known = [is_known_code(text, kind) or bool(read_element(text, kind).reason) for text in codes]
    return sum(known) / len(known) if known else 0.0


def _looks_like_codes(sample: pl.Series) -> bool:
    if not len(sample) or not sample.str.contains(r"(?i)^[A-Z0-9.\[{(\"' ]").all():
        return False
    return max(_share_of_codes(sample, kind) for kind in (DX, PR)) >= _MOSTLY


def _note_codes(template: str, sample: pl.Series, notes: list[str]) -> None:
    """Note a column that holds codes under a name that no rule knows."""
    if len(sample) and not parse_numbers(sample).is_not_null().all() and _looks_like_codes(sample):
        kind = "diagnosis" if _share_of_codes(sample, DX) >= _MOSTLY else "procedure"
        name = "sdx" if kind == "diagnosis" else "pr"
        notes.append(f"{template}: holds {kind} codes, not read; add it to {name} if they are of the claim.")


# ---------------------------------------------------------------------------------------------- fields


def _choose_scalars(
    named: Mapping[str, list[tuple[str, dict[int, str]]]], notes: list[str]
) -> dict[str, str | list[str]]:
    """Return one column for each field with one value a claim; the first in the file."""
    columns: dict[str, str | list[str]] = {}
    for name, groups in named.items():
        if name not in SCALAR_FIELDS:
            continue
        candidates = [column for _, numbered in groups for column in numbered.values()]
        covered = [one for one in candidates if name == "covered_charges_usd" and "cov" in one.lower()]
        columns[name] = (covered or candidates)[0]
        chosen = columns[name]
        notes += [f"{other}: may be {name} too; {chosen} was taken." for other in candidates if other != chosen]
    return columns


def _choose_codes(
    named: Mapping[str, list[tuple[str, dict[int, str]]]], notes: list[str]
) -> dict[str, str | list[str]]:
    """Return the columns of codes and of POA indicators, paired as the file numbers them."""
    numbers = {name: {n: one for _, group in named.get(name, []) for n, one in group.items()} for name in _OF_CODES}
    columns: dict[str, str | list[str]] = {}
    for name in ("pdx", "pdx_poa", "dx", "poa", "sdx", "sdx_poa", "pr"):
        groups = named.get(name, [])
        if groups:
            templates = [template if len(group) > 1 or "{n}" in template else group[1] for template, group in groups]
            columns[name] = templates[0] if len(templates) == 1 else templates
    if "sdx" in columns and "dx" not in columns and len(numbers["sdx"]) > 1:
        columns["dx"], numbers["dx"] = columns.pop("sdx"), numbers["sdx"]
        if "sdx_poa" in columns:
            columns["poa"], numbers["poa"] = columns.pop("sdx_poa"), numbers["sdx_poa"]
    if isinstance(columns.get("pdx"), list):
        columns["pdx"] = columns["pdx"][0]
    _pair_indicators(columns, numbers, notes)
    external = [template for template, _ in named.get("external", [])]
    if external:
        given = columns.get("sdx", [])
        columns["sdx"] = [*([given] if isinstance(given, str) else given), *external]
        notes.append(f"{', '.join(external)}: {_NOT_A_FIELD['external']}.")
    notes += [f"{template}: {_NOT_A_FIELD['admitting']}." for template, _ in named.get("admitting", [])]
    return columns


def _pair_indicators(
    columns: dict[str, str | list[str]], numbers: Mapping[str, Mapping[int, str]], notes: list[str]
) -> None:
    """Pair POA indicators with codes where the principal diagnosis has the first of them."""
    dx, poa = numbers["dx"], numbers["poa"]
    if "pdx" not in columns or "pdx_poa" in columns or not poa:
        return
    first, *others = sorted(poa)
    if "dx" not in columns:
        if len(poa) == 1 and "sdx" not in columns:
            columns["pdx_poa"] = columns.pop("poa")
    elif first not in dx and set(others) <= set(dx):
        columns["pdx_poa"] = poa[first]
        notes.append(f"{poa[first]}: taken as the POA indicator of the principal diagnosis.")
    elif len(poa) == len(dx) + 1:
        columns["pdx_poa"] = poa[first]
        columns["dx"], columns["poa"] = [dx[n] for n in sorted(dx)], [poa[n] for n in others]
        notes.append(f"{poa[first]}: taken as the POA indicator of the principal diagnosis, the others in order.")


def _find_values(
    table: pl.DataFrame, columns: Mapping[str, str | list[str]], notes: list[str]
) -> dict[str, dict[str, str]]:
    """Return what words of the discharge status mean, for those that are known."""
    name = columns.get("discharge_status")
    if not isinstance(name, str):
        return {}
    texts = blank_words(table[name].cast(pl.String)).drop_nulls()
    words = texts.filter(parse_labelled_numbers(texts).is_null())
    known = {text: status for text in words.unique().sort() if (status := find_status(text))}
    unknown = words.filter(~words.is_in(list(known)))
    if len(unknown):
        notes.append(
            f"{name}: {len(unknown)} texts are no UB-04 status (such as {find_pattern(unknown)}); "
            "add them to [values.discharge_status]."
        )
    return {"discharge_status": known} if known else {}


def _is_derived(name: str, columns: Mapping[str, Any]) -> bool:
    return name == "age" and {"birth_date", "admission_date"} <= set(columns)
