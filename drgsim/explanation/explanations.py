"""Why one admission got its DRG and its dollars, in words and as data: `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from drgsim.display import PrintedReport, Section
from drgsim.exceptions import InputError
from drgsim.explanation.claim_edits import list_claim_edits
from drgsim.explanation.grouping_path import GroupingPath
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.code_attributes import compile_attributes
from drgsim.grouping.grouper import grouping_of, run_steps
from drgsim.pricing.contracts import PriceTerms, has_contracts
from drgsim.pricing.payer_pricing import CONTRACT_COMPONENTS
from drgsim.pricing.pricer import COMPONENTS, PAY_CODES, price
from drgsim.pricing.pricer_input import with_weights
from drgsim.schema import CONTRACT_PAID, PAID, normalise_codes
from drgsim.tables.encoding import check_admissions, encode_span, flatten_lists
from drgsim.tables.table_set import TableSet

REASONS = {
    "INVALID_PDX": "the principal diagnosis is no code of this version",
    "DX_CANNOT_BE_PDX": "the principal diagnosis is an external cause, which cannot be one",
    "INVALID_SEX": "the MDC of this principal diagnosis depends on the sex, which is neither M nor F",
    "INVALID_DISCHARGE_STATUS": "the discharge status is none of the grouper's, and a formula row depends on it",
    "HAC_MISSING_ONE_POA": "a hospital-acquired condition depends on a POA letter that is missing or not recognised",
    "HAC_STATUS_INVALID_MULT_HACS_POA_NOT_Y_W": (
        "the hospital's POA reporting is unknown, a hospital-acquired condition is met, and there are several codes"
    ),
    "HAC_STATUS_INVALID_POA_N_OR_U": (
        "the hospital's POA reporting is unknown, and its one secondary code was not present on admission"
    ),
    "HAC_STATUS_INVALID_POA_INVALID_OR_1": (
        "the hospital's POA reporting is unknown, and the POA letter of its one secondary code is not recognised"
    ),
    "NO_DRG_FOUND": "no formula of the MDC that was searched last is true",
}
"""Why an admission is ungroupable, in words, by return code."""

_FLAGGED = 30
_DATE = "discharge_date"
_PAYMENT = {"line": pl.String(), "usd": pl.Float64(), "about": pl.String()}


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(PrintedReport):
    """Why one admission got its DRG and its dollars: data that also prints.

    Attributes:
        version: grouper version.
        provenance: how its tables are known (`TableSet.provenance`).
        grouped: (1,) the admission with `schema.GROUPED`, and where it was priced with `schema.PAID`.
        title: title of the DRG.
        mdc_reason: why the admission is in its MDC.
        codes: (m,) every code: validity, severity, what took it away, impact (`grouping_path.CODES`).
        steps: every MDC searched, by grouping pass, and what ended the search (`grouping_path.STEPS`).
        operands: every operand of the formulas that ended a search, true or false, and the codes behind it.
        failed: false formulas before the deciding one, nearest first (`grouping_path.FAILED`; with rates, `weight`).
        left_out: how many more false formulas there are.
        hacs: every hospital-acquired condition that a code can be, and its status (`grouping_path.HACS`).
        clusters: procedure clusters present (`grouping_path.CLUSTERS`).
        edits: the claim edits on the discharge date, or else the version's first day (`edit`, `count`, `codes`).
        payment: lines of the payment; None where the admission is not priced.

    >>> case = {"admission_id": 1, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0", "sdx": ["J96.01"],
    ...         "sdx_poa": ["Y"], "procedures": ["0FT44ZZ"]}
    >>> why = explain(case, TableSet.load("43.1"))
    >>> why["drg"], why.operands.select("operand", "because").rows()
    (417, [('MCC', ['J9601']), ('d493', ['0FT44ZZ'])])
    """

    version: str
    provenance: str
    grouped: pl.DataFrame
    title: str
    mdc_reason: str
    codes: pl.DataFrame = field(repr=False)
    steps: pl.DataFrame = field(repr=False)
    operands: pl.DataFrame = field(repr=False)
    failed: pl.DataFrame = field(repr=False)
    left_out: int
    hacs: pl.DataFrame = field(repr=False)
    clusters: pl.DataFrame = field(repr=False)
    edits: pl.DataFrame = field(repr=False)
    payment: pl.DataFrame | None = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        """Return one value of the admission, such as `explanation["drg"]`."""
        return self.grouped[name].item()

    def _build_report(self) -> tuple[str, list[Section]]:
        return self.heading, self.sections

    @property
    def heading(self) -> str:
        """The DRG and its title."""
        return f"MS-DRG {self['drg']:03}: {self.title}"

    @property
    def sections(self) -> list[Section]:
        """The sections of the report that have content."""
        sections = [
            self._answer(),
            self._codes(),
            self._search(),
            *self._formulas(),
            self._failed(),
            self._conditions(),
            self._clusters(),
            self._edits(),
            self._payment(),
        ]
        return [section for section in sections if section.lines or section.rows]

    # ------------------------------------------------------------------------------------------- sections

    def _answer(self) -> Section:
        lines = [f"MDC {self['mdc']}: {self.mdc_reason}." if self["mdc"] else f"MDC: {self.mdc_reason}."]
        lines.append(
            f"Type {self['drg_type']}, severity {self['severity']}, grouper version {self.version} ({self.provenance})."
        )
        if self["return_code"] != "OK":
            lines.insert(0, f"Ungroupable, {self['return_code']}: {REASONS[self['return_code']]}.")
        if self["initial_drg"] != self["drg"]:
            lines.append(f"Before hospital-acquired conditions counted it was DRG {self['initial_drg']:03}.")
        elif self["hac_count"]:
            lines.append("Hospital-acquired conditions leave the DRG as it was.")
        return Section("Answer", tuple(lines))

    def _codes(self) -> Section:
        rows = []
        for code in self.codes.iter_rows(named=True):
            what = code["kind"] if code["place"] is None else f"{code['kind']} {code['place'] + 1}"
            report = self._describe_code(code)
            rows.append((what, code["code"], code["poa"] or "", report, code["description"] or ""))
        return Section("Codes", (), ("", "code", "POA", "the grouper says", "description"), tuple(rows))

    def _describe_code(self, code: Mapping[str, Any]) -> str:
        """Return what the grouper says of one code, in words."""
        if not code["valid"]:
            return f"no code of version {self.version}" + ("" if code["kind"] == "pdx" else ", ignored")
        decided = {"BOTH": "decided", "INITIAL": "decided the initial DRG", "FINAL": "decided the final DRG"}
        parts = []
        if code["kind"] == "sdx":
            parts.append("no CC" if code["severity"] == "NONE" else code["severity"])
            lost = {name: code[f"lost_{name}"] for name in ("initial", "final")}
            if lost["initial"] == lost["final"]:
                parts += [lost["final"]] if lost["final"] else []
            else:
                parts += [f"{why} ({name} grouping)" for name, why in lost.items() if why]
        if code["kind"] == "procedure":
            parts.append("O.R. procedure" if code["is_or"] else "no O.R. procedure")
        if code["kind"] != "pdx" and code["impact"] in decided:
            parts.append(decided[code["impact"]])
        return ", ".join(parts) or "valid"

    def _search(self) -> Section:
        rows = []
        for step in self.steps.iter_rows(named=True):
            where = "pre-MDC" if step["mdc"] == 0 else f"MDC {step['mdc']}"
            found = {
                "DRG": f"DRG {step['drg'] or 0:03}",
                "reroute": f"goes on in MDC {step['reroute_mdc']}",
                "return code": step["return_code"],
                "nothing": "no formula is true",
            }[step["outcome"]]
            suppressed = f"   (severity suppressed by {step['suppressed_by']})" if step["suppressed_by"] else ""
            rows.append((step["grouping"], where, found, (step["formula"] or "") + suppressed))
        return Section("Search", (), ("grouping", "in", "found", "formula"), tuple(rows))

    def _formulas(self) -> list[Section]:
        sections = []
        for grouping, mdc in self.operands.select("grouping", "mdc").unique(maintain_order=True).rows():
            own = self.operands.filter(pl.col("grouping") == grouping, pl.col("mdc") == mdc)
            rows = tuple(
                (name, "true" if holds else "false", ", ".join(because))
                for name, holds, because in own.select("operand", "holds", "because").rows()
            )
            where = "pre-MDC" if mdc == 0 else f"MDC {mdc}"
            title = f"What decided in {where}, {grouping} grouping"
            sections.append(Section(title, (), ("operand", "is", "because of"), rows))
        return sections

    def _failed(self) -> Section:
        rows = tuple(
            ("" if drg is None else f"{drg:03}", "" if weight is None else f"{weight:.4f}", ", ".join(lacked), title)
            for drg, weight, title, lacked in self.failed.select("drg", "weight", "title", "lacked").rows()
        )
        more = (f"{self.left_out} more that lacked as much or more are left out.",) if self.left_out else ()
        return Section("Tried before, and false; nearest first", more, ("DRG", "weight", "lacked", "title"), rows)

    def _conditions(self) -> Section:
        rows = tuple(
            (code, f"HAC {hac:02}", status, f"{why}: {title}")
            for code, hac, title, status, why in self.hacs.select("code", "hac", "title", "status", "why").rows()
        )
        return Section("Hospital-acquired conditions", (), ("code", "condition", "status", "why"), rows)

    def _clusters(self) -> Section:
        rows = tuple(
            (cluster, " + ".join(codes), " ".join(map(str, hidden)), " ".join(operands))
            for cluster, codes, operands, hidden in self.clusters.rows()
        )
        header = ("cluster", "procedures", "these hidden in MDC", "operands")
        return Section("Procedures that count together", (), header, rows)

    def _edits(self) -> Section:
        rows = tuple((name, str(count), ", ".join(codes)) for name, count, codes in self.edits.rows())
        return Section("Claim edits (Medicare Code Editor)", (), ("edit", "count", "codes"), rows)

    def _payment(self) -> Section:
        if self.payment is None:
            return Section("Payment")
        lines = tuple(f"{line} {about}" for line, usd, about in self.payment.rows() if usd is None)
        rows = tuple((line, f"{usd:12,.2f}", about) for line, usd, about in self.payment.rows() if usd is not None)
        return Section("Payment", lines, ("", "         USD", "") if rows else (), rows)


@accept_frames
def explain(
    admission: pl.DataFrame | Mapping[str, Any],
    tables: TableSet,
    rates: PriceTerms | None = None,
    hospital: pl.DataFrame | None = None,
    *,
    hospital_status: str = "NON_EXEMPT",
    nearest: int = 8,
) -> Explanation:
    """Explain the DRG of one admission; with rates its weight, with a hospital its dollars.

    The engine groups the admission as `group` does and keeps every decision; nothing is decided twice. It takes
    milliseconds an admission; for many admissions see `group(..., detail=True)`.

    Args:
        admission: (1,) row of `schema.ADMISSIONS`, or a mapping of the same names to one admission's values.
        tables: the grouper version.
        rates: for the weight, and with a hospital for the payment; as `price` takes them.
        hospital: (1,) row of `schema.HOSPITALS`; an admission without `hospital_id` belongs to it.
        hospital_status: as `group` takes it.
        nearest: how many false formulas to keep, from 0.

    Returns:
        An `Explanation`: frames of the decisions, which print as text and show as HTML in a notebook.

    Raises:
        InputError: there is not exactly one admission or hospital, or a hospital without rates.
        SchemaError, MissingRateError: as `group` and `price`.

    >>> case = {"admission_id": 1, "age": 54, "sex": "F", "discharge_status": 1, "pdx": "K81.0", "sdx": ["J96.01"],
    ...         "sdx_poa": ["Y"], "procedures": ["0FT44ZZ"]}
    >>> why = explain(case, TableSet.load("43.1"))
    >>> why["drg"], why.operands.select("operand", "holds", "because").rows()
    (417, [('MCC', True, ['J9601']), ('d493', True, ['0FT44ZZ'])])
    """
    if not isinstance(tables, TableSet):
        raise InputError(f"tables is {tables!r}, expected a TableSet such as TableSet.load('43.1').")
    if isinstance(nearest, bool) or not isinstance(nearest, int) or nearest < 0:
        raise InputError(f"nearest is {nearest!r}, expected a whole number from 0.")
    if hospital is not None and rates is None:
        raise InputError("a hospital without rates prices nothing. Pass rates too, such as Rates.load(2026).")
    one = _require_one(_to_frame(admission), "admission")
    frame = check_admissions(one, hospital_status)
    grouping = run_steps(encode_span(frame, tables), compile_attributes(tables))
    status = frame["discharge_status"].item()
    status_in_words = "no discharge status" if status is None else f"discharge status {status}"
    path = GroupingPath(grouping, _list_codes(frame), _list_poa(frame), status_in_words)
    grouped = one.with_columns(grouping_of(grouping).frame())
    priced, payment = _price_one(grouped, rates, hospital)
    titles = dict(tables.drg_titles.select("drg", "title").iter_rows())
    return Explanation(
        version=tables.version,
        provenance=tables.provenance,
        grouped=priced,
        title=titles[grouped["drg"].item()],
        mdc_reason=path.why_mdc,
        codes=path.codes,
        steps=path.steps,
        operands=path.decided,
        failed=_add_weight(path.failed.head(nearest), one, rates),
        left_out=max(0, path.failed.height - nearest),
        hacs=path.hacs,
        clusters=path.clusters,
        edits=list_claim_edits(one, tables),
        payment=payment,
    )


# ---------------------------------------------------------------------------------------------------------


def _to_frame(admission: pl.DataFrame | Mapping[str, Any]) -> pl.DataFrame:
    if not isinstance(admission, Mapping):
        return admission
    try:
        return pl.DataFrame({name: [value] for name, value in admission.items()})
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        wrong = ", ".join(repr(name) for name, value in admission.items() if not _is_column_value(value))
        raise InputError(f"the admission is no row: cannot be read: {wrong}. See drgsim.schema.ADMISSIONS.") from None


def _is_column_value(value: object) -> bool:
    """Return whether a frame can have a value."""
    try:
        pl.Series([value])
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def _require_one(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """Return the frame if it has one row, else raise."""
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"{what} is {type(frame).__name__}, expected a polars DataFrame of one row.")
    if frame.height != 1:
        raise InputError(f"{what} has {frame.height} rows, expected one. Take a row with frame[i] or frame.filter().")
    return frame


def _list_codes(frame: pl.DataFrame) -> tuple[str, list[str], list[str]]:
    """Return the codes of an admission, normalised; a null is an empty text."""
    pdx, sdx, procedures = (
        normalise_codes(values).fill_null("").to_list()
        for values in (frame["pdx"], flatten_lists(frame["sdx"]), flatten_lists(frame["procedures"]))
    )
    return pdx[0], sdx, procedures


def _list_poa(frame: pl.DataFrame) -> list[str | None]:
    """Return the POA letter of each secondary code, as it came; None where there is none."""
    n = len(flatten_lists(frame["sdx"]))
    given = flatten_lists(frame["sdx_poa"]).to_list() if "sdx_poa" in frame.columns else []
    return (given + [None] * n)[:n]


def _price_one(
    grouped: pl.DataFrame, rates: PriceTerms | None, hospital: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the admission with its payment, and the lines of the payment."""
    if rates is None:
        return grouped, None
    if hospital is None and not has_contracts(rates):
        weighed = with_weights(grouped, rates)
        return weighed, pl.DataFrame([_describe_weight(weighed)], schema=_PAYMENT, orient="row")
    own = None if hospital is None else _require_one(hospital, "hospital")
    if own is not None and "hospital_id" not in grouped.columns and "hospital_id" in own.columns:
        grouped = grouped.with_columns(own["hospital_id"])
    paid = price(grouped, own, rates)
    about = {column.name: column.about for column in (*PAID.columns, *CONTRACT_PAID.columns)}
    values = paid.row(0, named=True)
    lines: list[tuple[str, float | None, str]] = [_describe_weight(paid)]
    lines.append(("pay code", None, f"{values['pay_code']}: {describe_pay_code(values['pay_code'])}"))
    if values["transfer_fraction"] not in (0.0, 1.0):
        lines.append(("transfer", None, f"pays {values['transfer_fraction']:.2%} of the full payment"))
    if values.get("contract_rule"):
        lines.append(("contract rule", None, values["contract_rule"]))
    names = [name for name in (*COMPONENTS, *CONTRACT_COMPONENTS) if values.get(name)]
    lines += [(_write_component(name), values[name], about[name]) for name in names]
    lines.append(("total", values["total_usd"], about["total_usd"]))
    return paid, pl.DataFrame(lines, schema=_PAYMENT, orient="row")


def _add_weight(failed: pl.DataFrame, one: pl.DataFrame, rates: PriceTerms | None) -> pl.DataFrame:
    """Return false formulas with the weight of their DRG; null without rates and for a reroute."""
    if rates is None:
        return failed.with_columns(weight=pl.lit(None, pl.Float64))
    own = [name for name in (_DATE, "payer") if name in one.columns]
    dates = [pl.lit(one[name].item(), one.schema[name]).alias(name) for name in own]
    return failed.with_columns(with_weights(failed.select("drg", *dates), rates)["weight"])


def _describe_weight(frame: pl.DataFrame) -> tuple[str, None, str]:
    weight = frame["weight"].item()
    return "weight", None, "none: the DRG is not paid by weight" if weight is None else f"{weight:.4f}"


def _write_component(name: str) -> str:
    return name.removesuffix("_usd").replace("_", " ")


def describe_pay_code(code: int) -> str:
    """Return the meaning of a pay code, also of one with the flag of a possible outlier.

    >>> describe_pay_code(44)
    'paid, days at or above the geometric mean; an outlier if the operating ratio were higher'
    """
    if code in PAY_CODES and code != _FLAGGED:
        return PAY_CODES[code]
    return f"{PAY_CODES[code - _FLAGGED]}; an outlier if the operating ratio were higher"
