"""Codes in a cell: several of them, with a POA indicator, with signs or words around them.

A cell is one text of a column of codes. Most hold one plain code and stay as they are. A cell that is changed is
flagged, and only where the result is a code of some grouper version: an unknown text stays as the file has it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import polars as pl

from drgsim.claim_fields.field_values import BLANK_CODES, blank_words
from drgsim.claim_fields.mapping_report import MappingProblems
from drgsim.schema import normalise_codes
from drgsim.tables.table_set import TableSet, versions

DX, PR = "dx", "pr"
SEVERAL = "several codes in a cell, all read"
GLUED_POA = "POA indicator written with the code, read"
SIGNS = "signs around a code, read without them"
WORDS = "words beside a code, read without them"
LOST_ZERO = "code without its leading zero, kept; format the column as text"
BLANK_WORD = "word for a missing value among codes, left blank"
OTHER_COUNT = "POA indicators not as many as codes, left blank"

_UNCLEAR = r"^$|^\s|\s$|^[A-Za-z]?[A-Za-z/#<!-]|^.$"
"""What a blank cell or a word for a missing value has; also procedures whose section is a letter."""
_GLUE = r"(?:\s*[-:/^_ ]\s*[YNUW1]|\s*\(\s*[YNUW1]\s*\)|\s*\[\s*[YNUW1]\s*\])?"
_CODE = (
    r"(?:[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4}|\.)?" + _GLUE + r"|[0-9A-HJ-NP-Z]{7}|[0-9]{3}(?:\.[0-9]{1,2})?"
    r"|[0-9]{4,5}|[0-9]{2}\.[0-9]{1,2}|E[0-9]{3}\.[0-9])"
)
_BY_COMMA = rf"(?i)^\s*(?:{_CODE}|)(?:\s*,\s*(?:{_CODE}|))+\s*$"
_TWO_BY_COMMA = rf"(?i){_CODE}\s*,[\s,]*{_CODE}"
_BY_BLANK = rf"(?i)^\s*{_CODE}(?:\s+{_CODE})+\s*$"
_WRAPPED = r"^\s*(?:\[.*\]|\{.*\}|\(.*\))\s*$"
_PLAIN = r"^[A-Za-z0-9.]{1,8}$"
_POA = re.compile(r"(.*?)(?:\s*[-:/^_ ]\s*([YNUW1])|\s*[(\[]\s*([YNUW1])\s*[)\]]|([YNUW]))", re.IGNORECASE | re.DOTALL)
_NAMED = re.compile(
    r"(?:ICD[- ]?(9|10)?(?:[- ]?(?:CM|PCS))?|(?:ICD-?)?(?:CM|PCS)|DX|PX|PR|CODE)\s*[:=#]\s*(.+)", re.IGNORECASE
)
_DESCRIBED = re.compile(r"(\S+?)(?:\s+[-:=|]+\s*|\s*[:=]\s+|\s+|\s*\()[A-Za-z(].{2,}", re.DOTALL)
_DIGITS_OF_PCS = 7
_MOST_CELL = 2000
"""Most characters of a cell that is looked at; a longer one is no list of codes of a stay."""


class Element(NamedTuple):
    """One code of a cell.

    Its text, the POA indicator written with it, its revision, and what was changed.
    """

    code: str
    poa: str | None
    icd: int | None
    reason: str | None


def read_code_cells(codes: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return one row a code from one row a cell, in order, with POA indicators.

    Args:
        codes: `row`, `kind`, `code`, `poa`, `icd` and others, which are repeated for each code of a cell.
        problems: receives flags of rows.

    >>> cells = pl.DataFrame({"row": [0, 1], "kind": ["dx", "dx"], "code": ["I10, J96.01 (N)", "E119"],
    ...                       "poa": [None, "Y"], "icd": [None, None]}, schema_overrides={"icd": pl.Int8})
    >>> read_code_cells(cells, MappingProblems()).select("row", "code", "poa").rows()
    [(0, 'I10', None), (0, 'J96.01', 'N'), (1, 'E119', 'Y')]
    """
    distinct = codes["code"].unique()
    odd = distinct.filter(~distinct.str.contains(_PLAIN))
    if len(odd):
        codes = _split_cells(codes, odd, problems)
        distinct = codes["code"].unique()
    return _read_elements(codes, distinct, problems)


def drop_blank_cells(codes: pl.DataFrame, problems: MappingProblems) -> pl.DataFrame:
    """Return cells without blank ones and words for a missing value; flag the latter.

    >>> cells = pl.DataFrame({"row": [0, 1, 2], "code": [" I10", "", "NULL"]})
    >>> drop_blank_cells(cells, MappingProblems()).rows()
    [(0, 'I10')]
    """
    given = codes.filter(pl.col("code").is_not_null())
    unclear = given["code"].str.contains(_UNCLEAR)
    if not unclear.any():
        return given
    distinct = given["code"].filter(unclear).unique()
    bare = blank_words(distinct, BLANK_CODES)
    changed = bare.ne_missing(distinct)
    if not changed.any():
        return given
    words = pl.DataFrame({"code": distinct, "_bare": bare}).filter(changed)
    joined = given.join(words.with_columns(_changed=True), on="code", how="left", maintain_order="left")
    is_blank = pl.col("_changed").fill_null(value=False) & pl.col("_bare").is_null()
    is_word = is_blank & (pl.col("code").str.strip_chars() != "")
    problems.flag_rows("code", BLANK_WORD, joined.filter(is_word)["row"].unique())
    cleaned = joined.filter(~is_blank).with_columns(code=pl.coalesce("_bare", "code"))
    return cleaned.select(codes.columns)


def normalise_clean_codes(codes: pl.Series) -> pl.Series:
    """Return codes as `normalise_codes` does; those that are clean already at less cost.

    >>> normalise_clean_codes(pl.Series(["k81.0", "I10"])).to_list()
    ['K810', 'I10']
    """
    return normalise_codes(codes) if codes.str.contains(r"[^0-9A-Z]").any() else codes


def split_lists(texts: pl.Series) -> pl.Series:
    r"""Return the values of each list written as text, with blank ones.

    A text that is no list is one value.
    Lists of Python, JSON and databases in brackets, or values separated by `;` or `|`, else by commas, else by blanks,
    where every value then looks like a code.

    >>> lists = ["['I10', 'J96.01']", '["I10","J9601"]', "{I10,J9601}", "I10|J9601"]
    >>> split_lists(pl.Series(lists)).list.join(" + ").to_list()
    ['I10 + J96.01', 'I10 + J9601', 'I10 + J9601', 'I10 + J9601']
    >>> split_lists(pl.Series(["I10;;E119", "I10, J9601", "J96 01"])).list.join(" + ").to_list()
    ['I10 +  + E119', 'I10 + J9601', 'J96 01']
    """
    text = pl.col("text")
    inner = text.str.strip_chars().str.strip_chars("[]{}()").str.replace_all(r"[\"']", "")
    wrapped = (
        pl.when(inner.str.contains(r"[,;|]"))
        .then(inner.str.replace_all(r"[,|]", ";"))
        .otherwise(inner.str.strip_chars().str.replace_all(r"\s+", ";"))
    )
    return (
        pl.DataFrame({"text": texts})
        .select(
            pl.when(text.str.contains(_WRAPPED))
            .then(wrapped)
            .when(text.str.contains(r"[;|]"))
            .then(text.str.replace_all(r"\|+", ";"))
            .when(text.str.contains(_BY_COMMA) & text.str.contains(_TWO_BY_COMMA))
            .then(text.str.replace_all(",", ";", literal=True))
            .when(text.str.contains(_BY_BLANK))
            .then(text.str.strip_chars().str.replace_all(r"\s+", ";"))
            .otherwise(text)
            .str.split(";")
            .list.eval(pl.element().str.strip_chars())
            .alias(texts.name)
        )
        .to_series()
    )


def split_indicators(texts: pl.Series) -> pl.Series:
    """Return the POA indicators of each text, with blank ones; `YNU` are three.

    >>> split_indicators(pl.Series(["Y;;N", "Y,N", "Y N", "YNU", "['Y', 'N']", ""])).list.join("+").to_list()
    ['Y++N', 'Y+N', 'Y+N', 'Y+N+U', 'Y+N', '']
    """
    bare = texts.str.strip_chars().str.strip_chars("[]{}()").str.replace_all(r"[\"']", "")
    apart = bare.str.replace_all(r"^([YNUWynuw10])([YNUWynuw10]+)$", "$1;$2")
    letters = bare.str.contains(r"^[YNUWynuw10]{2,}$")
    spaced = bare.str.replace_all(r"(.)", "$1;").str.strip_suffix(";")
    listed = bare.str.contains(r"[,;|]")
    text = pl.DataFrame({"bare": bare, "letters": letters, "spaced": spaced, "listed": listed, "apart": apart}).select(
        pl.when("letters")
        .then("spaced")
        .when("listed")
        .then(pl.col("bare").str.replace_all(r"[,|]", ";"))
        .otherwise(pl.col("bare").str.replace_all(r"\s+", ";"))
    )
    return text.to_series().str.split(";").list.eval(pl.element().str.strip_chars())


# ---------------------------------------------------------------------------------------------- cells


def _split_cells(codes: pl.DataFrame, odd: pl.Series, problems: MappingProblems) -> pl.DataFrame:
    """Return one row a value of the cells that hold several."""
    odd = odd.filter(odd.str.len_chars() <= _MOST_CELL)
    parts = split_lists(odd)
    several = parts.list.len() > 1
    changed = several | (parts.list.first() != odd).fill_null(value=False)
    if not changed.any():
        return codes
    lists = pl.DataFrame({"code": odd.filter(changed), "_parts": parts.filter(changed)})
    joined = codes.with_row_index("_cell").join(lists, on="code", how="left", maintain_order="left")
    listed = joined.filter(pl.col("_parts").is_not_null())
    many = listed.filter(pl.col("_parts").list.eval(pl.element() != "").list.sum() > 1)
    problems.flag_rows("code", SEVERAL, many["row"].unique())
    indicators = split_indicators(listed["poa"].fill_null(""))
    same = indicators.list.len() == listed["_parts"].list.len()
    given = listed["poa"].fill_null("").str.strip_chars() != ""
    filled = listed["_parts"].list.eval(pl.element() != "").list.sum()
    # As many indicators as codes that are not blank: in order.
    problems.flag_rows("poa", OTHER_COUNT, listed["row"].filter(given & ~same).unique())
    blank = listed.select(pl.col("_parts").list.eval(pl.lit(None, pl.String).repeat_by(pl.element().len()).explode()))
    aligned = indicators.zip_with(same & given, blank.to_series()) if len(filled) else indicators
    apart = listed.with_columns(code="_parts", poa=aligned).explode("code", "poa").drop("_parts")
    rest = joined.filter(pl.col("_parts").is_null()).drop("_parts")
    together = pl.concat([rest, apart]).sort("_cell", maintain_order=True).drop("_cell")
    code = blank_words(together["code"], BLANK_CODES)
    together = together.with_columns(code=code).filter(pl.col("code").is_not_null())
    again = together.filter(pl.col("code").str.contains(_BY_COMMA), pl.col("code").str.contains(_TWO_BY_COMMA))
    return _split_cells(together, again["code"].unique(), problems) if again.height else together


def _read_elements(codes: pl.DataFrame, distinct: pl.Series, problems: MappingProblems) -> pl.DataFrame:
    """Return codes without POA indicators, signs and words beside them."""
    shaped = distinct.str.contains(_PLAIN)
    unclear = distinct.filter(~shaped | distinct.str.contains(r"(?i)[YNUW]$") | distinct.str.contains(r"^\d{3,6}$"))
    if not len(unclear):
        return codes
    found = codes.filter(pl.col("code").is_in(unclear.implode())).select("kind", "code").unique()
    read = [(kind, text, *read_element(text, str(kind))) for kind, text in found.iter_rows()]
    names = ("kind", "code", "_code", "_poa", "_icd", "_reason")
    schema = {name: pl.Int8 if name == "_icd" else pl.String for name in names}
    changed = pl.DataFrame([one for one in read if one[-1]], schema=schema, orient="row")
    if not changed.height:
        return codes
    joined = codes.join(changed, on=["kind", "code"], how="left", maintain_order="left")
    for (reason,), part in joined.filter(pl.col("_reason").is_not_null()).group_by("_reason", maintain_order=True):
        problems.flag_rows("code", str(reason), part["row"].unique())
    blank = pl.col("poa").is_null() | (pl.col("poa").str.strip_chars() == "")
    return joined.with_columns(
        code=pl.coalesce("_code", "code"),
        poa=pl.when(blank & pl.col("_poa").is_not_null()).then("_poa").otherwise("poa"),
        icd=pl.coalesce("icd", "_icd"),
    ).select(codes.columns)


# ---------------------------------------------------------------------------------------------- codes


@lru_cache(maxsize=1)
def _known_codes() -> dict[str, frozenset[str]]:
    """Return the codes of all grouper versions, by kind."""
    tables = TableSet.load(versions()[-1])
    return {DX: frozenset(tables.all_diagnoses), PR: frozenset(tables.all_procedures)}


def is_known_code(text: str, kind: str) -> bool:
    """Return whether a text is a code of any grouper version, with or without its dot.

    >>> is_known_code("j96.01", DX), is_known_code("J9601Y", DX), is_known_code("0FT44ZZ", PR)
    (True, False, True)
    """
    return text.isascii() and text.strip().replace(".", "").upper() in _known_codes()[kind]


def read_element(text: str, kind: str) -> Element:
    """Return one code without what is written with it; `reason` is None if it is the same.

    >>> read_element("J9601Y", DX)
    Element(code='J9601', poa='Y', icd=None, reason='POA indicator written with the code, read')
    >>> read_element("J96.01 - respiratory failure", DX).code, read_element("ICD10:J96.01", DX).code
    ('J96.01', 'J96.01')
    >>> read_element("210093", PR).reason
    'code without its leading zero, kept; format the column as text'
    """
    same = Element(text, None, None, None)
    if is_known_code(text, kind):
        return same
    glued = _POA.fullmatch(text) if kind == DX else None
    if glued and is_known_code(glued[1], kind):
        return Element(glued[1].strip(), (glued[2] or glued[3] or glued[4]).upper(), None, GLUED_POA)
    named = _NAMED.fullmatch(text)
    if named and (is_known_code(named[2], kind) or named[1] == "9"):
        return Element(named[2].strip(), None, int(named[1]) if named[1] else None, WORDS)
    bare = text.strip(" '\"`=*#?_\u2018\u2019\u201c\u201d\u00a0.,;")
    if bare != text and is_known_code(bare, kind):
        return Element(bare, None, None, SIGNS)
    described = _DESCRIBED.fullmatch(bare)
    if described and is_known_code(described[1], kind):
        return Element(described[1], None, None, WORDS)
    inner = re.sub(r"[\s_-]", "", bare)
    if inner != bare and is_known_code(inner, kind):
        return Element(inner, None, None, SIGNS)
    if kind == PR and text.isdigit() and len(text) < _DIGITS_OF_PCS and is_known_code(text.zfill(_DIGITS_OF_PCS), kind):
        return Element(text, None, None, LOST_ZERO)
    return same
