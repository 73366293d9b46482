"""Values of fields as people write them: numbers, amounts, dates, sexes, revisions of ICD.

Every function takes (n,) texts and returns (n,) values, null where the text is blank or is no such value. What is
blank: see `BLANKS`. Distinct texts are read once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

BLANKS = ("", "null", "nan", "na", "n/a", "#n/a", "none", "nil", "nat", "<na>", "#null!", ".", "-", "--", "\\n")
BLANK_CODES = (
    *(word for word in BLANKS if word != "."),
    "invl",
    "incn",
    "unknown",
    "missing",
    "#name?",
    "#value!",
    "#ref!",
)
"""Words for a missing value in any case; among codes also HCUP's `invl` (invalid) and `incn` (inconsistent)."""
_SEXES = {"1": "M", "2": "F", "M": "M", "F": "F", "MALE": "M", "FEMALE": "F", "MAN": "M", "WOMAN": "F", "0": "U"}
_SEXES |= {"U": "U", "UNKNOWN": "U", "3": "U", "9": "U"}
_LETTERS = {"YES": "Y", "NO": "N", "UNKNOWN": "U", "UNDETERMINED": "W", "CLINICALLY UNDETERMINED": "W"}
_LETTERS |= {"EXEMPT": "1", "1.0": "1", "0.0": "0", "TRUE": "Y", "FALSE": "N", "PRESENT": "Y"}
_REVISIONS = r"^(?:ICD)?[-_ ]?0*(9|10|0)(?:TH)?(?:\.0+)?[-_ ]?(?:CM|PCS|PR|DX|REVISION|VOL\.? ?3)?$"
_MONTH_FIRST, _DAY_FIRST = "%m/%d/%Y", "%d/%m/%Y"
DATES = (
    *("%Y-%m-%d", "%Y%m%d", "%d-%b-%Y", "%d%b%Y", "%d %b %Y", "%Y/%m/%d", "%d %B %Y", "%b %d %Y", "%B %d %Y"),
    *("%d-%b-%y", "%d%b%y", "%Y.%m.%d"),
)
"""Formats of dates that have one meaning: ISO, digits alone, SAS and CMS. Then come numbers with slashes."""
_TIME = r"(?:T|:| +)\d\d?:\d\d.*$"


class Dates(NamedTuple):
    """Dates of a column, and whether days come before months."""

    dates: pl.Series
    day_first: bool


def blank_words(texts: pl.Series, words: tuple[str, ...] = BLANKS) -> pl.Series:
    """Return texts without surrounding blanks, null where blank or a word for a missing value.

    >>> blank_words(pl.Series([" 1 ", "NULL", "#N/A", ""])).to_list()
    ['1', None, None, None]
    """
    if texts.dtype != pl.String:
        texts = texts.cast(pl.String)
    bare = texts.str.strip_chars()
    is_short = bare.str.len_bytes() <= max(map(len, words))
    found = bare.filter(is_short.fill_null(value=False)).unique()
    blank = found.filter(found.str.to_lowercase().is_in(words))
    return bare.set(bare.is_in(blank.implode()), None) if len(blank) else bare


def parse_numbers(texts: pl.Series) -> pl.Series:
    """Return finite numbers, Float64, also of `$131,370.09`, `(5.00)` for -5 and `1.234,56`.

    >>> parse_numbers(pl.Series(["1.0", "$131,370.09", "(5.00)", "1.234,56", "1,5", "inf", "x"])).to_list()
    [1.0, 131370.09, -5.0, 1234.56, None, None, None]
    """
    numbers = texts.cast(pl.Float64, strict=False)
    return _map_failures(texts, numbers.set(~numbers.is_finite().fill_null(value=False), None), _parse_amounts)


def parse_whole_numbers(texts: pl.Series) -> pl.Series:
    """Return whole numbers, Int64; `3.0` is one, `3.5` is none.

    >>> parse_whole_numbers(pl.Series(["03", "3.0", "3.5", "1,200", None])).to_list()
    [3, 3, None, 1200, None]
    """
    plain = texts.cast(pl.Int64, strict=False)
    return _map_failures(texts, plain, _round_to_whole)


def parse_labelled_numbers(texts: pl.Series) -> pl.Series:
    """Return whole numbers, also where a label follows: `03 - SNF`, `1: home`, `01 (Home)`.

    >>> parse_labelled_numbers(pl.Series(["03 - SNF", "1.0", "20=Died", "HOME", "3 4"])).to_list()
    [3, 1, 20, None, None]
    """
    return _map_failures(texts, parse_whole_numbers(texts), _strip_labels)


def parse_dates(texts: pl.Series) -> Dates:
    """Return the day of each text, without its time.

    The formats of `DATES` come first, then numbers with slashes, dots or hyphens. Such numbers are month, day and year,
    as in the United States, unless a number above 12 in the column shows that days come first. A year of two digits
    lies between 1969 and 2068.

    >>> [str(day) for day in parse_dates(pl.Series(["2024-03-01T10:00:00-05:00", "15JAN2026", "10/03/2025"])).dates]
    ['2024-03-01', '2026-01-15', '2025-10-03']
    >>> [str(day) for day in parse_dates(pl.Series(["01/02/26", "31/01/26"])).dates]
    ['2026-02-01', '2026-01-31']
    """
    distinct = texts.drop_nulls().unique()
    day = distinct.str.replace(_TIME, "").str.replace(r"^(\d{8})\.0+$", "$1").str.replace_all(",", "", literal=True)
    read = pl.Series([None] * len(day), dtype=pl.Date)
    for form in DATES:
        # %Y also reads two digits, so the length decides.
        fits = day.str.to_date(form, strict=False)
        read = read.zip_with(read.is_not_null(), fits.set(fits.dt.year() < 1000, None))  # a year
    slashed = day.str.extract_groups(r"^(\d\d?)[/.-](\d\d?)[/.-](\d{4}|\d\d)$").struct.unnest()
    first, second, year = (slashed.to_series(place) for place in range(3))
    year = (pl.Series([""] * len(year), dtype=pl.String)).zip_with(year.str.len_bytes() == 4, _century(year)) + year
    in_order = {
        form: (first + "/" + second + "/" + year).str.to_date(form, strict=False) for form in (_MONTH_FIRST, _DAY_FIRST)
    }
    day_first = in_order[_MONTH_FIRST].count() < in_order[_DAY_FIRST].count()
    chosen = in_order[_DAY_FIRST if day_first else _MONTH_FIRST]
    read = read.zip_with(read.is_not_null(), chosen)
    return Dates(_look_up(texts, distinct, read), bool(day_first))


def parse_sexes(texts: pl.Series) -> pl.Series:
    """Return M, F or U for `1`, `2`, `male`, `1 - Male`; any other text in upper case.

    >>> parse_sexes(pl.Series(["1", "2.0", "Male", "f", "x", "2 - Female"])).to_list()
    ['M', 'F', 'M', 'F', 'X', 'F']
    """
    distinct = texts.drop_nulls().unique()
    upper = distinct.str.strip_chars().str.to_uppercase()
    bare = upper.str.replace(r"^(\d)\.0+$", "$1").str.replace(r"^([MF12])\s*[-:=(].*$", "$1")
    return _look_up(texts, distinct, bare.replace_strict(_SEXES, default=upper, return_dtype=pl.String))


def parse_poa(texts: pl.Series) -> pl.Series:
    """Return POA indicators in upper case, also of `Yes`, `Y - present` and `1.0`.

    >>> parse_poa(pl.Series([" y", "No", "Y - present", "1.0", "Q"])).to_list()
    ['Y', 'N', 'Y', '1', 'Q']
    """
    distinct = texts.drop_nulls().unique()
    upper = distinct.str.strip_chars().str.to_uppercase().str.replace(r"^([A-Z0-9])\s*[-:=(].*$", "$1")
    return _look_up(texts, distinct, upper.replace(_LETTERS))


def parse_revisions(texts: pl.Series) -> pl.Series:
    """Return the revision of ICD, Int8: 9 or 10 (also written 0), by number or name; else null.

    >>> parse_revisions(pl.Series(["9", "09", "9.0", "0", "ICD-9-CM", "icd10", "ICD-10-PCS", "x"])).to_list()
    [9, 9, 9, 10, 9, 10, 10, None]
    """
    distinct = texts.drop_nulls().unique()
    number = distinct.str.strip_chars().str.to_uppercase().str.extract(_REVISIONS).cast(pl.Int8)
    return _look_up(texts, distinct, number.replace({0: 10}))


def parse_identifiers(texts: pl.Series) -> pl.Series:
    """Return identifiers as text, without `.0` where all end so, as data frames write them.

    >>> parse_identifiers(pl.Series(["7.0", "8.0", None])).to_list()
    ['7', '8', None]
    >>> parse_identifiers(pl.Series(["07", "1E5"])).to_list()
    ['07', '1E5']
    """
    given = texts.drop_nulls()
    if len(given) and given[:1].str.contains(r"^-?\d+\.0+$").all() and given.str.contains(r"^-?\d+\.0+$").all():
        return texts.str.replace(r"\.0+$", "")
    return texts


def years_between(birth: pl.Series, day: pl.Series) -> pl.Series:
    """Return whole years from birth to a day, Int32; null where a date is missing or wrong.

    >>> from datetime import date
    >>> years_between(pl.Series([date(1950, 12, 31)]), pl.Series([date(2024, 12, 30)])).to_list()
    [73]
    """
    day_of_year, birthday = (date.dt.month().cast(pl.Int32) * 100 + date.dt.day() for date in (day, birth))
    age = day.dt.year() - birth.dt.year() - (day_of_year < birthday).cast(pl.Int32)
    return age.set((age < 0).fill_null(value=False), None).cast(pl.Int32)


# ---------------------------------------------------------------------------------------------------------


def _century(year: pl.Series) -> pl.Series:
    """Return the first two digits for years of two digits: 69 to 99 are 19xx, the others 20xx."""
    late = (year.cast(pl.Int32, strict=False) >= 69).fill_null(value=False)  # POSIX strptime
    return pl.select(pl.when(late).then(pl.lit("19")).otherwise(pl.lit("20"))).to_series()


def _look_up(texts: pl.Series, distinct: pl.Series, values: pl.Series) -> pl.Series:
    """Return the value of each text, by the values of distinct texts."""
    if not len(distinct):
        return pl.Series(texts.name, [None] * len(texts), dtype=values.dtype)
    return texts.replace_strict(distinct, values, default=None, return_dtype=values.dtype)


def _map_failures(texts: pl.Series, read: pl.Series, parse: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Return values, where text gave none those that `parse` gives."""
    failed = texts.filter(texts.is_not_null() & read.is_null()).unique()
    if not len(failed):
        return read
    return read.zip_with(read.is_not_null() | texts.is_null(), _look_up(texts, failed, parse(failed).cast(read.dtype)))


def _parse_amounts(texts: pl.Series) -> pl.Series:
    bare = texts.str.strip_chars().str.replace(r"^\((.*)\)$", "-$1").str.replace(r"^(-?)\s*(?:\$|USD)\s*(-?)", "$1$2")
    bare = bare.str.replace(r"\s*USD$", "")
    plain = bare.str.contains(r"^-?\d{1,3}(,\d{3})+(\.\d*)?$|^-?\d+(\.\d*)?$|^-?\.\d+$")
    # 1.234,56 has points between thousands and a comma before decimals; 1,5 may be either and is none.
    other = bare.str.contains(r"^-?\d{1,3}(\.\d{3})+,\d+$")
    american = bare.str.replace_all(",", "", literal=True)
    european = bare.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    number = american.zip_with(~other, european).cast(pl.Float64, strict=False)
    return number.set(~(plain | other) | ~number.is_finite().fill_null(value=False), None)


def _round_to_whole(texts: pl.Series) -> pl.Series:
    number = parse_numbers(texts)
    # Beyond 2**53 a float does not hold every whole number.
    is_whole = (number == number.floor()) & (number.abs() < 2.0**53)
    return number.set(~is_whole.fill_null(value=False), None).cast(pl.Int64, strict=False)


def _strip_labels(texts: pl.Series) -> pl.Series:
    return texts.str.extract(r"^\s*(\d{1,3})(?:\.0+)?\s*[-:=(/.]\s*\D").cast(pl.Int64, strict=False)
