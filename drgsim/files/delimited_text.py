"""Rows of delimited text: none is lost without a report or a refusal with its line.

Line ends may be LF, CR LF or CR; text may be UTF-8 or UTF-16, with or without a byte order mark; a first line `sep=;`
names the separator. A quote counts only where it begins a field (RFC 4180); elsewhere it is an ordinary character.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, SchemaError

SEPARATORS = "|,\t;"
MOST_COLUMNS = 1 << 16
"""Most columns of a text file; the widest known file of claims has some 300."""
FEW, MANY = "fewer fields than the header", "more fields than the header"
_BLOCK = 1 << 22
"""Bytes split into fields at a time."""
_WIDE = 1000
_MOST_LINES = 200
"""Most lines of one row whose fields contain line ends."""
_UNIT, _EMPTY = "\x1f", "\x1e"
"""Characters that stand for the separator, and for a blank text in quotes, which differs from no value."""
_SEP_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True)
class TextRows:
    """The rows of a text file, and those with few, many or broken fields."""

    table: pl.DataFrame
    few: pl.Series
    many: pl.Series
    broken: pl.Series
    """Rows with a line end within a field."""


def decode_text(path: Path, content: bytes) -> bytes:
    r"""Return the content as UTF-8 with LF alone as line end, without byte order mark.

    Raises:
        InputError: it is neither UTF-8 nor UTF-16; names the line.

    >>> decode_text(Path("a.csv"), "a,b\r\n1,2\r\n".encode("utf-16"))
    b'a,b\n1,2\n'
    """
    encoding = _UTF_16.get(content[:2]) or _guess_utf_16(content)
    try:
        if encoding:
            content = content.decode(encoding).removeprefix("\ufeff").encode()
        else:
            content = content.removeprefix(b"\xef\xbb\xbf")
            content.decode()
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        line = content.count(b"\n", 0, error.start) + 1
        name = "UTF-16" if encoding else "UTF-8"
        raise InputError(
            f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: line {line} is no {name} text. "
            "Save it as UTF-8."
        ) from None
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n")
        if b"\n" not in content:
            content = content.replace(b"\r", b"\n")
    return content


def split_header(path: Path, content: bytes) -> tuple[list[str], str, int]:
    r"""Return the column names, the separator and where the rows begin.

    The separator is the one of `| , tab ;` that is most frequent outside quotes in the first line, or the one that a
    line `sep=;` before it names.

    Raises:
        InputError: there is no line, a quote in the header is not closed, or there are too many columns.

    >>> split_header(Path("a.csv"), b"sep=;\na;b\n1;2\n")
    (['a', 'b'], ';', 10)
    """
    at, number, named = 0, 0, None
    while at < len(content):
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        line, at, number = content[at:end].decode(), end + 1, number + 1
        match = None if named else _SEP_LINE.fullmatch(line)
        if match:
            named = match.group(1)
        elif line.strip():
            break
    else:
        raise InputError(f"{path}: not a readable {path.suffix.lstrip('.') or 'text'} file: it is empty.")
    separator = named or find_separator(line)
    if line.count(separator) >= MOST_COLUMNS:
        raise InputError(f"{path}: more than {MOST_COLUMNS:,} columns, which no file of claims has.")
    if separator == "|" and not _is_quoted(line):
        return line.split(separator), separator, at
    names = _parse_record(line, separator)
    if names is None:
        raise _refuse_quote(path, number)
    return names, separator, at


def read_rows(
    path: Path,
    content: bytes,
    names: list[str],
    separator: str,
    start: int,
    *,
    keep_blank: bool = False,
    columns: Collection[str] = (),
) -> TextRows:
    r"""Return the rows after a header, as texts without surrounding blanks, null where blank.

    A row with fewer fields than the header has nulls; fields beyond the header are left out. A column without any
    value has the type Null.

    Args:
        path: named in errors.
        content: from `decode_text`.
        names: distinct column names.
        separator: of one character.
        start: where the rows begin.
        keep_blank: whether a blank text in quotes (`""`) is a blank text, and not null.
        columns: names of the columns to return; without any, all.

    Raises:
        InputError: a quote is not closed; names the line.

    >>> rows = read_rows(Path("a.csv"), b'1,"x, y"\n2\n3,z,w\n', ["a", "b"], ",", 0)
    >>> rows.table.rows(), rows.few.to_list(), rows.many.to_list()
    ([('1', 'x, y'), ('2', None), ('3', 'z')], [1], [2])
    """
    with_quotes = b'"' in content and (separator != "|" or _is_quoted(content[: max(start - 1, 0)].decode()))
    parts, few, many, broken, height = [], [], [], [], 0
    chosen = frozenset(columns or names)
    line_number = content.count(b"\n", 0, start) + 1
    for block in _iterate_blocks(content, start, with_quotes=with_quotes):
        mark, spread, text = separator, pl.Series([], dtype=pl.UInt32), block
        if with_quotes and b'"' in block:
            mark = _UNIT
            text, spread = _unquote_lines(path, block, separator, len(names), line_number)
        line_number += block.count(b"\n") + 1
        table, is_few, is_many = _split_lines(_drop_blank_lines(text), mark, names, chosen)
        parts.append(table)
        few.append(is_few + height)
        many.append(is_many + height)
        broken.append(spread + height)
        height += table.height
    empty = pl.DataFrame(schema=dict.fromkeys([name for name in names if name in chosen], pl.String))
    table = pl.concat(parts, how="vertical_relaxed") if parts else empty
    if with_quotes and _EMPTY.encode() not in content:
        blank = "" if keep_blank else None
        table = table.with_columns(
            pl.when(pl.col(name) != _EMPTY)
            .then(name)
            .otherwise(pl.when(pl.col(name).is_not_null()).then(pl.lit(blank, pl.String)))
            .alias(name)
            for name, dtype in table.schema.items()
            if dtype == pl.String and (table[name] == _EMPTY).any()
        )
    none = pl.Series([], dtype=pl.UInt32)
    return TextRows(table, *(pl.concat([none, *(p.cast(pl.UInt32) for p in p_s)]) for p_s in (few, many, broken)))


def find_separator(line: str) -> str:
    """Return the separator that a line has most of outside quotes.

    >>> find_separator("a|b|c,d")
    '|'
    """
    bare = re.sub(r'"(?:[^"]|"")*"', "", line)
    return max(SEPARATORS, key=bare.count)


def refuse_equal_names(path: Path, names: list[str]) -> None:
    """Refuse two columns of one name.

    The message gives their positions: in a file without a header the names are a patient's values.

    Raises:
        SchemaError: there are two.
    """
    first = {name: place for place, name in reversed([*enumerate(names, 1)])}
    again = next((place for place, name in enumerate(names, 1) if first[name] != place), None)
    if again:
        raise SchemaError(f"{path}: columns {first[names[again - 1]]} and {again} have one name; keep one of them.")


# ---------------------------------------------------------------------------------------------- lines


def _guess_utf_16(content: bytes) -> str | None:
    """Return UTF-16 where every second byte of the beginning is NUL, as in text without a mark."""
    begin = content[:200]
    if len(begin) < 4 or len(content) % 2:
        return None
    for encoding, zeros, others in (("utf-16-le", begin[1::2], begin[::2]), ("utf-16-be", begin[::2], begin[1::2])):
        if zeros.count(0) == len(zeros) and not others.count(0):
            return encoding
    return None


def _is_quoted(line: str) -> bool:
    """Return whether the last line of a text has all fields in quotes."""
    return re.fullmatch(r'"[^"]*"(\|"[^"]*")*', line.rpartition("\n")[2].strip()) is not None


def _iterate_blocks(content: bytes, start: int, *, with_quotes: bool) -> Iterator[bytes]:
    """Yield blocks of whole lines; one ends where every quote is closed, if any does."""
    while start < len(content):
        end = content.find(b"\n", start + _BLOCK)
        while end >= 0 and with_quotes and content.count(b'"', start, end) % 2:
            end = content.find(b"\n", end + 1)
        end = len(content) if end < 0 else end
        yield content[start:end]
        start = end + 1


def _drop_blank_lines(text: bytes) -> bytes:
    """Return lines without those that are blank, and without a last line end."""
    text = text.strip(b"\n")
    begins = (b"\n\n", b"\n ", b"\n\t", b"\n\r")
    if text[:1].isspace() or any(begin in text for begin in begins):
        text = b"\n".join(line for line in text.split(b"\n") if line.strip(b" \r"))
    return text


def _split_lines(
    text: bytes, mark: str, names: list[str], columns: Collection[str]
) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Return the fields of lines, and the rows with fewer and with more fields than names."""
    last, kept = len(names), [name for name in names if name in columns]
    none = pl.Series([], dtype=pl.UInt32)
    if not text:
        return pl.DataFrame(schema=dict.fromkeys(kept, pl.String)), none, none
    if last > _WIDE:
        wide, few, many = _split_wide_lines(text.decode().split("\n"), mark, names)
        return wide.select(kept), few, many
    codes = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(codes == ord("\n"))
    starts = np.concatenate([[0], ends + 1])
    marks = np.add.reduceat(codes == ord(mark), starts, dtype=np.int32)
    fields = pl.read_csv(
        BytesIO(mark.join(map(str, range(last))).encode() + b"\n" + text + b"\n"),
        separator=mark,
        quote_char=None,
        infer_schema=False,
        columns=[place for place, name in enumerate(names) if name in columns],
        truncate_ragged_lines=True,
        glob=False,
    )
    fields.columns = kept
    if not text.isascii() or _has_outer_blanks(text, mark.encode()):
        stripped = pl.all().str.strip_chars()
        fields = fields.select(pl.when(stripped != "").then(stripped).name.keep())
    blank = [name for name, count in zip(kept, fields.null_count().row(0), strict=True) if count == fields.height]
    fields = fields.with_columns(pl.lit(None).alias(name) for name in blank) if blank else fields
    rows = np.flatnonzero(marks >= last)
    if len(rows):
        # A line may end in a separator; what follows is no field.
        lines = text.split(b"\n")
        closed = [lines[row].rstrip(b" \r").endswith(mark.encode()) for row in rows]
        rows = rows[(marks[rows] > last) | ~np.array(closed)]
    return fields, pl.Series(np.flatnonzero(marks < last - 1)), pl.Series(rows)


def _has_outer_blanks(text: bytes, mark: bytes) -> bool:
    """Return whether an ASCII text may have blanks around fields."""
    found = [blank for blank in (b" ", b"\t", b"\r", b"\x0b", b"\x0c") if blank != mark and blank in text]
    sides = (mark, b"\n")
    return any(
        blank + side in text or side + blank in text or text.startswith(blank) or text.endswith(blank)
        for blank in found
        for side in sides
    )


def _split_wide_lines(lines: list[str], mark: str, names: list[str]) -> tuple[pl.DataFrame, pl.Series, pl.Series]:
    """Return what `_split_lines` does, without an expression for each of very many columns."""
    last = len(names)
    rows = [line.split(mark) for line in lines]
    few = [place for place, row in enumerate(rows) if len(row) < last]
    many = [place for place, row in enumerate(rows) if len(row) > last + (not row[-1].strip())]
    columns = [[row[place].strip() or None if place < len(row) else None for row in rows] for place in range(last)]
    table = pl.DataFrame(
        [pl.Series(name, values, dtype=pl.String if any(values) or not lines else pl.Null)
         for name, values in zip(names, columns, strict=True)]
    )  # fmt: skip
    return table, pl.Series(few, dtype=pl.UInt32), pl.Series(many, dtype=pl.UInt32)


def _parse_record(line: str, separator: str) -> list[str] | None:
    """Return the fields of a line; None where a quote is not closed or ends within a field."""
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return None


def _unquote_lines(path: Path, block: bytes, separator: str, width: int, first: int) -> tuple[bytes, pl.Series]:
    """Return lines whose fields are separated by `_UNIT`, and which of them were several lines."""
    texts = block.decode().split("\n")
    found: list[str] = []
    spread: list[int] = []
    at = 0
    while at < len(texts):
        text = texts[at]
        if '"' not in text:
            if text.strip():
                found.append(text.replace(_UNIT, " ").replace(separator, _UNIT))
            at += 1
            continue
        fields, used = _parse_record(text, separator), 1
        if fields is not None and '""' in text:
            fields = _mark_blank_texts(text, fields, separator)
        if fields is None:
            fields, used = _join_lines(texts[at : at + _MOST_LINES], separator, width)
            if fields is None:
                raise _refuse_quote(path, first + at)
            spread.append(len(found))
        found.append(_UNIT.join(field.replace(_UNIT, " ").replace("\n", " ") for field in fields))
        at += used
    return "\n".join(found).encode(), pl.Series(spread, dtype=pl.UInt32)


def _mark_blank_texts(text: str, fields: list[str], separator: str) -> list[str]:
    """Return fields with `_EMPTY` for each blank text in quotes."""
    mark = re.escape(separator)
    marked = _parse_record(re.sub(rf'(^|{mark})""(?={mark}|$)', rf'\1"{_EMPTY}"', text), separator)
    return marked if marked and [field.replace(_EMPTY, "") for field in marked] == fields else fields


def _join_lines(texts: list[str], separator: str, width: int) -> tuple[list[str] | None, int]:
    """Return the fields of the first lines as one row, and the number of lines, or None.

    Later lines that have as many separators as a row are rows of their own, which a stray quote would swallow.
    """
    joined = ""
    for used, text in enumerate(texts, 1):
        if used > 1 and text.count(separator) >= width - 1:
            break
        joined = f"{joined}\n{text}" if used > 1 else text
        if '"' in text and used > 1:
            try:
                fields = next(
                    csv.reader((f"{part}\n" for part in joined.split("\n")), delimiter=separator, strict=True)
                )
            except csv.Error:
                continue
            if len(fields) == width:
                return fields, used
    return None, 0


def _refuse_quote(path: Path, line: int) -> InputError:
    return InputError(
        f'{path}: not a readable {path.suffix.lstrip(".") or "text"} file: line {line}: a quote (") is not closed, or '
        "ends within a field. Correct that line; within a field in quotes a quote is written twice."
    )
