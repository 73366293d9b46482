"""The data file of a CMS grouper release, decoded: `read_release_facts(content)`.

The file is one Protocol Buffers message; `_ROOT` is its layout. The file states every fact once, with the versions
in which it holds; the result has one row for each of these versions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from drgsim.exceptions import TableError
from drgsim.releases.protobuf_wire import INT, TEXT, Field, Message, decode_message

_VERSIONS = Field("versions", INT, many=True)
_SEVERITIES = ("MCC", "CC", "NONE")
_MALE, _FEMALE = 1, 2
_HIGHEST_VERSION = 1000
_TYPES = ("MEDICAL", "SURGICAL", "NA")


def _map_of(kind: str | Message, key: str = TEXT) -> Message:
    """Return a message that holds one map."""
    entry = {1: Field("key", key), 2: Field("value", kind)}
    return {1: Field("entries", entry, many=True)}


def _dated_list(items: Message) -> Message:
    """Return a message that holds a list, each item with its versions."""
    return {1: Field("items", items, many=True)}


_TITLES = _map_of(_dated_list({1: Field("title", TEXT), 7: _VERSIONS}), INT)
_FORMULA = {
    1: Field("drg", INT),
    2: Field("mdc", INT),
    6: Field("base_drg", INT),
    7: Field("type", TEXT),
    8: Field("reroute_mdc", INT),
    9: Field("formula", TEXT),
    10: Field("severity_suppression", TEXT, many=True),
    11: Field("drg_severity", INT),
    12: Field("return_code", INT),
    13: Field("ranks", {1: Field("rank", INT), 2: Field("version", INT)}, many=True),
}
_DIAGNOSIS = {
    1: Field("mdc", INT),
    2: Field("severity", INT),
    3: Field("operands", INT),
    4: Field("hac_operands", INT),
    5: Field("categories", INT),
    6: _VERSIONS,
}
_CLUSTER = {
    1: Field("suppressed_mdcs", INT, many=True),
    3: Field("choices", {1: Field("choice", INT), 2: Field("codes", TEXT, many=True)}, many=True),
    4: _VERSIONS,
}
_SEX_MDC = {1: Field("mdcs", {1: Field("key", INT), 2: Field("value", INT)}, many=True), 2: _VERSIONS}
_HAC_INFO = {1: Field("operands", TEXT, many=True), 2: Field("hacs", INT, many=True), 3: _VERSIONS}
_ROOT: Message = {
    1: Field("diagnoses", _map_of(_dated_list(_DIAGNOSIS))),
    2: Field("procedures", _map_of(_dated_list({1: Field("operands", INT), 2: _VERSIONS}))),
    3: Field("code_clusters", _map_of(_dated_list({1: Field("clusters", TEXT, many=True), 2: _VERSIONS}))),
    4: Field("exclusion_groups", _map_of({1: Field("codes", TEXT, many=True)}, INT)),
    5: Field("pdx_exclusions", _map_of(_dated_list({1: Field("group", INT), 2: _VERSIONS}))),
    6: Field("clusters", _map_of(_dated_list(_CLUSTER))),
    7: Field("sex_mdcs", _map_of(_dated_list(_SEX_MDC))),
    8: Field("formulas", _map_of(_dated_list(_FORMULA), INT)),
    9: Field(
        "hac_formulas", _map_of(_dated_list({1: Field("hac", INT), 3: Field("formula", TEXT), 4: _VERSIONS}), INT)
    ),
    10: Field("hac_information", _map_of(_dated_list(_HAC_INFO))),
    11: Field("diagnosis_patterns", _map_of({1: Field("operands", TEXT, many=True)}, INT)),
    12: Field("procedure_patterns", _map_of({2: Field("operands", TEXT, many=True)}, INT)),
    13: Field("drg_titles", _TITLES),
    14: Field("mdc_titles", _TITLES),
    15: Field("base_drg_titles", _TITLES),
    16: Field("hac_titles", _TITLES),
}


@dataclass(frozen=True, eq=False)
class ReleaseFacts:
    """The facts of a release, and its versions, oldest first.

    A frame has one row for each fact and version; `place` is the version's index in `versions`.
    """

    versions: tuple[str, ...]
    diagnoses: pl.DataFrame
    procedures: pl.DataFrame
    choices: pl.DataFrame
    exclusion_groups: pl.DataFrame
    pdx_exclusions: pl.DataFrame
    sex_mdcs: pl.DataFrame
    formulas: pl.DataFrame
    hac_formulas: pl.DataFrame
    drg_titles: pl.DataFrame
    mdc_titles: pl.DataFrame
    hac_titles: pl.DataFrame


def read_release_facts(content: bytes, *, ignore_unknown_fields: bool = False) -> ReleaseFacts:
    """Return the facts of a release's data file. Source: layout of CMS grouper release 43.1.

    Args:
        content: all bytes of the data file.
        ignore_unknown_fields: leave out fields that this layout does not know, instead of refusing the file.

    Raises:
        TableError: the data are cut off or malformed, refer to a list of operands that they do not have, or have
            unknown fields, which may carry logic.

    >>> read_release_facts(b"")
    Traceback (most recent call last):
    drgsim.exceptions.TableError: the release has no diagnoses. Is it the data file of a CMS grouper release?
    """
    unknown: Counter[str] = Counter()
    root = decode_message(content, _ROOT, unknown)
    if unknown and not ignore_unknown_fields:
        shown = ", ".join(f"{name} ({count})" for name, count in unknown.most_common(5))
        raise TableError(
            f"the release has unknown fields: {shown}. They may change answers; find out what they mean, then pass "
            "ignore_unknown_fields=True to leave them out."
        )
    for part in (field.name for field in _ROOT.values()):
        if not (root[part] or {}).get("entries"):
            raise TableError(
                f"the release has no {part.replace('_', ' ')}. Is it the data file of a CMS grouper release?"
            )
    diagnosis_names = _read_patterns(root["diagnosis_patterns"])
    procedure_names = _read_patterns(root["procedure_patterns"])
    numbers = sorted({number for _, item in _list_items(root["diagnoses"]) for number in item["versions"]})
    if not numbers:
        raise TableError("no diagnosis of the release has a version; expected versions such as 431.")
    rows: dict[str, Iterable[tuple[Any, ...]]] = {
        "diagnoses": _list_diagnoses(root["diagnoses"], diagnosis_names),
        "procedures": (
            (code, _find_operands(procedure_names, item["operands"], code), item["versions"])
            for code, item in _list_items(root["procedures"])
        ),
        "choices": _list_choices(root["clusters"]),
        "exclusion_groups": _list_exclusion_groups(root["exclusion_groups"]),
        "pdx_exclusions": ((pdx, item["group"], item["versions"]) for pdx, item in _list_items(root["pdx_exclusions"])),
        "sex_mdcs": _list_sex_mdcs(root["sex_mdcs"]),
        "formulas": _list_formulas(root["formulas"]),
        "hac_formulas": (
            (item["hac"], item["formula"], item["versions"]) for _, item in _list_items(root["hac_formulas"])
        ),
        **{
            name: ((number, item["title"], item["versions"]) for number, item in _list_items(root[name]))
            for name in ("drg_titles", "mdc_titles", "hac_titles")
        },
    }
    frames = {name: _expand_versions(_make_frame(name, found), numbers) for name, found in rows.items()}
    frames["formulas"] = _number_rows(frames["formulas"])
    return ReleaseFacts(versions=tuple(map(_name_version, numbers)), **frames)


# ---------------------------------------------------------------------------------------------- parts

_COLUMNS: Mapping[str, Mapping[str, type[pl.DataType]]] = {
    "diagnoses": {
        "code": pl.String,
        "mdc": pl.Int64,
        "severity": pl.String,
        "operands": pl.String,
        "hac_operands": pl.String,
        "categories": pl.String,
    },
    "procedures": {"code": pl.String, "operands": pl.String},
    "choices": {"cluster": pl.String, "suppressed_mdcs": pl.String, "choice": pl.Int64, "codes": pl.String},
    "exclusion_groups": {"group": pl.Int64, "sdx": pl.String},
    "pdx_exclusions": {"pdx": pl.String, "group": pl.Int64},
    "sex_mdcs": {"pdx": pl.String, "male_mdc": pl.Int64, "female_mdc": pl.Int64},
    "formulas": {
        "mdc": pl.Int64,
        "drg": pl.Int64,
        "base_drg": pl.Int64,
        "type": pl.String,
        "reroute_mdc": pl.Int64,
        "severity_suppression": pl.String,
        "formula": pl.String,
        "rank": pl.Int64,
    },
    "hac_formulas": {"hac": pl.Int64, "formula": pl.String},
    "drg_titles": {"drg": pl.Int64, "title": pl.String},
    "mdc_titles": {"mdc": pl.Int64, "title": pl.String},
    "hac_titles": {"hac": pl.Int64, "title": pl.String},
}
_UNDATED = ("exclusion_groups",)


def _make_frame(name: str, rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    dated = {} if name in _UNDATED else {"number": pl.List(pl.Int64)}
    return pl.DataFrame(list(rows), schema={**_COLUMNS[name], **dated}, orient="row")


def _expand_versions(frame: pl.DataFrame, numbers: list[int]) -> pl.DataFrame:
    """Repeat each row for every version in which it holds, as column `place`.

    A release may repeat a fact: 43.1 has the choices of one cluster twice.
    """
    if "number" not in frame.columns:
        return frame
    places = pl.DataFrame({"number": numbers, "place": range(len(numbers))}, schema_overrides={"place": pl.Int64})
    every = frame.explode("number", empty_as_null=False)
    return (
        every.join(places, on="number", how="inner", maintain_order="left").drop("number").unique(maintain_order=True)
    )


def _name_version(number: int) -> str:
    """Return the name of a version: 431 is 43.1."""
    if not 0 < number < _HIGHEST_VERSION:
        raise TableError(f"{number} is not a version; expected a number such as 431, which is 43.1.")
    return f"{number // 10}.{number % 10}"


def _list_items(part: Mapping[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield (key, item) over a map of lists."""
    for entry in part["entries"]:
        for item in (entry["value"] or {"items": ()})["items"]:
            yield entry["key"], item


def _read_patterns(part: Mapping[str, Any]) -> dict[int, str]:
    """Return the lists of operand names by number; number 0 is the empty list."""
    named = {entry["key"]: _join_names((entry["value"] or {"operands": ()})["operands"]) for entry in part["entries"]}
    return {0: "", **named}


def _join_names(names: Iterable[object]) -> str:
    return " ".join(text for text in map(str, names) if text)


def _find_operands(names: Mapping[int, str], number: int, of: str) -> str | None:
    if number not in names:
        raise TableError(f"{of} refers to list {number} of operands, which the release does not have.")
    return names[number] or None


def _list_diagnoses(part: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[tuple[Any, ...]]:
    for code, item in _list_items(part):
        if not 0 <= item["severity"] < len(_SEVERITIES):
            raise TableError(f"{code} has severity {item['severity']}, expected 0, 1 or 2.")
        lists = (_find_operands(names, item[name], code) for name in ("operands", "hac_operands", "categories"))
        yield code, item["mdc"], _SEVERITIES[item["severity"]], *lists, item["versions"]


def _list_choices(part: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for cluster, item in _list_items(part):
        mdcs = _join_names(item["suppressed_mdcs"]) or None
        for choice in item["choices"]:
            yield cluster, mdcs, choice["choice"], _join_names(choice["codes"]), item["versions"]


def _list_exclusion_groups(part: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for entry in part["entries"]:
        for code in (entry["value"] or {"codes": ()})["codes"]:
            yield entry["key"], code


def _list_sex_mdcs(part: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for pdx, item in _list_items(part):
        mdcs = {entry["key"]: entry["value"] for entry in item["mdcs"]}
        if set(mdcs) != {_MALE, _FEMALE}:
            raise TableError(f"{pdx} has MDCs for sexes {sorted(mdcs)}, expected {_MALE} and {_FEMALE}.")
        yield pdx, mdcs[_MALE], mdcs[_FEMALE], item["versions"]


def _list_formulas(part: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for mdc, item in _list_items(part):
        if item["mdc"] != mdc or item["type"] not in _TYPES:
            raise TableError(
                f"formula {item['formula']!r:.80} of MDC {mdc} has MDC {item['mdc']} and type {item['type']!r}; "
                f"expected its own MDC and one of {', '.join(_TYPES)}."
            )
        facts = tuple(item[name] for name in ("drg", "base_drg", "type", "reroute_mdc"))
        suppression = _join_names(item["severity_suppression"]) or None
        for rank in item["ranks"]:
            yield mdc, *facts, suppression, item["formula"], rank["rank"], [rank["version"]]


def _number_rows(formulas: pl.DataFrame) -> pl.DataFrame:
    """Number the rows of each MDC and version in search order.

    That is by rank; rows of one rank keep their order in the file.
    """
    ordered = formulas.with_row_index("line").sort("place", "mdc", "rank", "line")
    order = pl.int_range(1, pl.len() + 1).over("place", "mdc")
    return ordered.with_columns(order=order).drop("line")
