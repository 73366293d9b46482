"""Why a DRG changed between two codings of one stay, in a few lines: `explain_change`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from drgsim.display import PrintedReport, Section
from drgsim.exceptions import InputError
from drgsim.explanation.explanations import Explanation, explain
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.version_rows import split_by_version
from drgsim.pricing.contracts import PriceTerms
from drgsim.review.coding_comparison import compare_codings
from drgsim.review.review_inputs import choose_status
from drgsim.tables.table_set import TableSet

_MOST_CODES = 3
_EVERY_FORMULA = 10_000
_WORDS = {
    "MCC": "an MCC",
    "CC": "a CC",
    "ORPROC": "an O.R. procedure",
    "ALIVE": "discharged alive",
    "DIED": "died",
    "MULTST": "multiple significant trauma",
}
_PLACES = {
    **{"pdx": "principal diagnosis", "sdx": "secondary diagnosis", "sdx_poa": "POA number"},
    **{"procedures": "procedure", "discharge_status": "discharge status", "sex": "sex number"},
}
_IN_LIST = {
    "PDX": "principal diagnosis",
    "SDX": "secondary diagnosis",
    "ANY": "any diagnosis",
    "ONLY": "only diagnoses",
}


@dataclass(frozen=True, eq=False, repr=False)
class ChangeExplanation(PrintedReport):
    """Why the DRG of a stay changed, as lines of text and as data.

    Attributes:
        before, after: the explanations of both codings.
        lines: what changed and why, in at most eight lines.
        changes: codes and fields that differ: `kind`, `field`, `code_before`, `code_after`, `description`.
        operands: operands of the two deciding formulas whose truth differs: `operand`, `phrase`, `before`, `after`
            (null where the formula does not ask for it), `because`, the codes behind it.
        usd_change: payment after minus before [USD]; None where nothing is priced.

    >>> case = {"admission_id": 1, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0", "sdx": ["J96.01"],
    ...         "procedures": ["0FT44ZZ"]}
    >>> why = explain_change(case, {**case, "sdx": []}, TableSet.load("43.1"))
    >>> why.operands.select("operand", "phrase", "before", "after").row(0)
    ('MCC', 'an MCC', True, None)
    """

    before: Explanation = field(repr=False)
    after: Explanation = field(repr=False)
    lines: tuple[str, ...]
    changes: pl.DataFrame = field(repr=False)
    operands: pl.DataFrame = field(repr=False)
    usd_change: float | None

    @property
    def heading(self) -> str:
        """Both DRGs."""
        one, other = self.before["drg"], self.after["drg"]
        return f"MS-DRG {one:03} stays {one:03}" if one == other else f"MS-DRG {one:03} becomes {other:03}"

    def _build_report(self) -> tuple[str, list[Section]]:
        return self.heading, [Section("Why", self.lines)]


@accept_frames
def explain_change(
    before: pl.DataFrame | Mapping[str, Any],
    after: pl.DataFrame | Mapping[str, Any],
    tables: TableSet | None = None,
    rates: PriceTerms | None = None,
    hospital: pl.DataFrame | None = None,
    *,
    hospital_status: str | None = None,
) -> ChangeExplanation:
    """Explain why two codings of one stay lead to different DRGs and dollars.

    Args:
        before, after: (1,) row of `schema.ADMISSIONS` each, or mappings of the same names to one stay's values.
        tables: the grouper version; None chooses it by `discharge_date`.
        rates: for weights, and with a hospital for dollars; as `price` takes them.
        hospital: (1,) row of `schema.HOSPITALS`.
        hospital_status: as in `group`; None means NON_EXEMPT if there is POA, else EXEMPT.

    Returns:
        A `ChangeExplanation`, which prints as at most eight lines.

    Raises:
        InputError: there is not one stay, its id differs, or a hospital without rates.
        SchemaError, MissingRateError: as `explain`.

    >>> from drgsim import Rates
    >>> case = {"admission_id": 1, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0", "sdx": ["J96.01"],
    ...         "procedures": ["0FT44ZZ"]}
    >>> why = explain_change(case, {**case, "sdx": []}, TableSet.load("43.1"), Rates.load(2026))
    >>> print(why.lines[0])
    Removed: J9601 (Acute respiratory failure with hypoxia).
    """
    sides = [_to_frame(side) for side in (before, after)]
    status = choose_status(sides[0], hospital_status)
    own = next((version for version, _ in split_by_version(sides[0], tables)), None)
    if own is None:
        raise InputError("no grouper version is in force on the discharge_date. Pass tables.")
    one, other = (explain(side, own, rates, hospital, hospital_status=status, nearest=_EVERY_FORMULA) for side in sides)
    compared = compare_codings(sides[0], sides[1], tables=own, hospital_status=status)
    changes = _describe(compared.differences(), own)
    operands = _compare_operands(one, other, own)
    usd = None
    if hospital is not None:
        usd = (round(100 * other["total_usd"]) - round(100 * one["total_usd"])) / 100
    lines = (
        " ".join(_write_changes(changes)) or "No code differs.",
        *_write_severity(one, other),
        *_write_formulas(one, other, own),
        " ".join(_write_result(one, other, usd)),
    )
    return ChangeExplanation(one, other, lines, changes, operands, usd)


def describe_operand(operand: str, tables: TableSet) -> str:
    """Return an operand in words: its meaning, else the codes that make it true.

    Args:
        operand: such as `MCC`, `PDX:dx_name` or `d493`.
        tables: the grouper version.

    >>> describe_operand("MCC", TableSet.load("43.1"))
    'an MCC'
    """
    where, _, name = operand.rpartition(":")
    if not where and name in _WORDS:
        return _WORDS[name]
    frame = tables.diagnoses if where else tables.procedures
    columns = ("operands", "hac_operands", "categories") if where else ("operands",)
    has = pl.any_horizontal(
        pl.col(column).str.split(" ").list.contains(name).fill_null(value=False) for column in columns
    )
    codes = frame.filter(has)["code"].sort()
    if codes.is_empty():
        return f"{_IN_LIST[where]}: {name}" if where in _IN_LIST else name
    shown = ", ".join(codes.head(_MOST_CODES))
    more = f" and {len(codes) - _MOST_CODES:,} more" if len(codes) > _MOST_CODES else ""
    return (
        f"{_IN_LIST.get(where, 'a procedure')} such as {shown}{more}"
        if more
        else (f"{_IN_LIST.get(where, 'a procedure')} {shown}")
    )


# ---------------------------------------------------------------------------------------------------------


def _to_frame(side: pl.DataFrame | Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame({name: [value] for name, value in side.items()}) if isinstance(side, Mapping) else side


def _describe(differences: pl.DataFrame, tables: TableSet) -> pl.DataFrame:
    titles = tables.diagnosis_descriptions()
    code = pl.coalesce("code_after", "code_before")
    description = code.replace_strict(titles["code"], titles["description"], default=None, return_dtype=pl.String)
    return differences.select("kind", "field", "code_before", "code_after", description=description)


def _compare_operands(one: Explanation, other: Explanation, tables: TableSet) -> pl.DataFrame:
    """Return the operands of both deciding formulas whose truth or whose codes differ."""
    sides = []
    for side in (one, other):
        last = side.operands.select("grouping", "mdc").tail(1)
        own = side.operands.join(last, on=["grouping", "mdc"], how="semi", maintain_order="left")
        sides.append(
            {name: (holds, list(because)) for name, holds, because in own.select("operand", "holds", "because").rows()}
        )
    nothing: tuple[bool | None, list[str]] = (None, [])
    rows = []
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        (was, old_codes), (now, new_codes) = (side.get(name, nothing) for side in sides)
        if was != now:
            codes = new_codes if now else old_codes
            rows.append((name, describe_operand(name, tables), was, now, list(dict.fromkeys(codes))))
    schema = {"operand": pl.String(), "phrase": pl.String(), "before": pl.Boolean(), "after": pl.Boolean()}
    return pl.DataFrame(rows, schema={**schema, "because": pl.List(pl.String())}, orient="row")


def _write_changes(changes: pl.DataFrame) -> Iterator[str]:
    """Yield a line for each way in which codes changed."""
    removed, added, replaced = [], [], []
    for kind, place, was, now, description in changes.rows():
        title = f" ({description})" if description else ""
        if kind == "pdx_resequence":
            replaced.append(f"principal diagnosis {was} to {now}{title}, which was secondary")
        elif was is None:
            added.append(f"{now}{title}")
        elif now is None:
            removed.append(f"{was}{title}")
        else:
            replaced.append(f"{_PLACES[place]} {was} to {now}{title}")
    for word, parts in (("Removed", removed), ("Added", added), ("Changed", replaced)):
        if parts:
            yield f"{word}: {'; '.join(parts)}."


def _write_severity(one: Explanation, other: Explanation) -> Iterator[str]:
    """Yield what happened to the severity, and to which exclusion it was lost."""
    was, now = one["severity"], other["severity"]
    severe = pl.col("severity").is_in(["CC", "MCC"])
    lost_before = _find_lost(one)
    lost = [f"{code} ({why})" for code, why in _find_lost(other).items() if code not in lost_before]
    if lost:
        yield f"A CC or MCC that does not count: {', '.join(lost)}."
    if was != now:
        counting = [
            code
            for code in other.codes.filter(pl.col("kind") == "sdx", severe)["code"]
            if code not in _find_lost(other)
        ]
        source = f" from {', '.join(counting)}" if counting and now != "NONE" else ""
        yield f"Severity {was} becomes {now}{source}."


def _find_lost(side: Explanation) -> dict[str, str]:
    """Return the codes whose severity does not count in the final grouping, and why."""
    severe = side.codes.filter(pl.col("kind") == "sdx", pl.col("severity") != "NONE")
    return {code: why for code, why in severe.select("code", "lost_final").rows() if why}


def _write_formulas(one: Explanation, other: Explanation, tables: TableSet) -> Iterator[str]:
    """Yield which formula fell and which took its place."""
    if one["return_code"] != other["return_code"]:
        yield f"Return code {one['return_code']} becomes {other['return_code']}."
    if one["mdc"] != other["mdc"]:
        yield f"MDC {one['mdc']} becomes {other['mdc']}: {other.mdc_reason}."
    if one["drg"] == other["drg"]:
        return
    formulas = [side.steps["formula"].drop_nulls().tail(1).to_list() for side in (one, other)]
    if formulas[0]:
        failed = other.failed.filter(pl.col("drg") == one["drg"])
        lack = ""
        if failed.height:
            lack = f"; it now lacks {', '.join(_phrase(name, tables) for name in failed['lacked'][0])}"
        elif one["mdc"] == other["mdc"]:
            lack = "; a formula before it is true now"
        yield f"The formula of {one['drg']:03} was {formulas[0][0]}{lack}."
    if formulas[1]:
        yield f"Now the first true formula is {formulas[1][0]}, of {other['drg']:03}."


def _phrase(operand: str, tables: TableSet) -> str:
    """Return in words what a formula lacks; an operand that must be false has ~ before it."""
    words = describe_operand(operand.removeprefix("~"), tables)
    return f"the absence of {words}" if operand.startswith("~") else words


def _write_result(one: Explanation, other: Explanation, usd: float | None) -> Iterator[str]:
    """Yield both DRGs, with weights and dollars where they are known."""
    if one["drg"] != other["drg"]:
        yield f"{one['drg']:03} {one.title} becomes {other['drg']:03} {other.title}."
    else:
        yield f"The DRG stays {one['drg']:03} {one.title}."
    if "weight" in one.grouped.columns:
        weights = [side["weight"] or 0.0 for side in (one, other)]
        money = (
            "" if usd is None else f", payment {one['total_usd']:,.2f} to {other['total_usd']:,.2f} USD ({usd:+,.2f})"
        )
        yield f"Weight {weights[0]:.4f} to {weights[1]:.4f}{money}."
