"""What to look at first: one row an account, ranked by probability times dollars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from drgsim.exceptions import InputError, did_you_mean
from drgsim.explanation.code_values import list_removals
from drgsim.files.foreign_frames import accept_frames
from drgsim.grouping.version_rows import split_by_version
from drgsim.miscoding.diagnosis_errors import PdxResequence, SeverityUpgrade
from drgsim.numerics.arrays import BoolArray, Int64Array
from drgsim.numerics.parallel import run_over_spans
from drgsim.numerics.segments import expand_rows
from drgsim.pricing.contracts import PriceTerms
from drgsim.rebilling.baseline import Baseline, Rebilled
from drgsim.rebilling.code_changes import ChangeKind, CodeChanges, list_code_texts
from drgsim.review.code_alignment import find_unspecified
from drgsim.review.review_inputs import carry_columns, choose_status, require_rates
from drgsim.tables.code_limits import load_code_limits
from drgsim.tables.encoding import POA_NOT_PRESENT, POA_NOT_RECOGNISED, POA_PRESENT
from drgsim.tables.manifest import read_table
from drgsim.tables.table_set import TableSet
from drgsim.tables.titles import with_titles

AT_RISK, NOT_CAPTURED = "at risk", "not captured"
_RULES = {
    "rule": pl.String(),
    "probability": pl.Float64(),
    **dict.fromkeys(("has", "lacks", "look_for", "why", "basis"), pl.String()),
}
_NULLABLE = ("has", "lacks", "look_for")
_ONLY_LOSSES = ("single_mcc", "single_cc", "often_questioned", "one_procedure")
_EITHER = ("poa_missing", "other_principal")


@accept_frames
def worklist(
    claims: pl.DataFrame,
    *,
    rates: PriceTerms,
    tables: TableSet | None = None,
    hospitals: pl.DataFrame | None = None,
    most: int | None = 50,
    principal: bool = False,
    probabilities: Mapping[str, float] | None = None,
    hospital_status: str | None = None,
) -> pl.DataFrame:
    """Return the accounts that a second look is worth most at, in both directions.

    Each account has one row: the one change, of those that a rule suggests, whose probability times dollars is the
    largest. A row is a question to the record, not a finding: whether the record supports a code is not known here.

    Args:
        claims: (n,) `schema.ADMISSIONS`; with hospitals what `price` needs.
        rates: as `price` takes them.
        tables: the version of all claims; None chooses by `discharge_date`.
        hospitals: `schema.HOSPITALS`; with None the dollars are weight times a base rate.
        most: the most rows; None returns all.
        principal: whether to suggest other principal diagnoses, too.
        probabilities: by rule (`worklist_rules`), such as those an audit of yours found, instead of the shipped
            ones, which are assumptions.
        hospital_status: as in `group`; None means NON_EXEMPT if the claims have POA, else EXEMPT.

    Returns:
        The largest `expected_usd` first: `admission_id`; `direction`, "at risk" (paid less after the change) or "not
        captured" (paid more); `look_at`, the code, with its title; `rule` and `why`; `code_then`, the code that would
        take its place or be added, null for none; `drg` and `drg_then` with titles; `usd`, `usd_then`, `usd_change`
        [USD]; `probability` [1]; `expected_usd`, probability times the size of the change; then the columns carried
        through.

    Raises:
        InputError: a rule or a number cannot be used, or no tables and no discharge dates.
        SchemaError, MissingRateError: as `group` and `price`.

    >>> from drgsim import Rates
    >>> one = pl.DataFrame({"admission_id": [1], "age": [54], "sex": ["F"], "discharge_status": [1], "pdx": ["K810"],
    ...                     "sdx": [["J9601", "I10"]], "sdx_poa": [["Y", "Y"]], "procedures": [["0FT44ZZ"]]})
    >>> found = worklist(one, rates=Rates.load(2026), tables=TableSet.load("43.1"))
    >>> found.select("direction", "look_at", "drg", "drg_then", "usd_change", "rule").row(0)
    ('at risk', 'J9601', 417, 419, -7426.66, 'often_questioned')
    """
    require_rates(hospitals, rates)
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InputError(f"most is {most!r}, expected a whole number from 1, or None for all.")
    status = choose_status(claims, hospital_status)
    parts = [
        _list_part(claims[rows], own, hospitals, rates, status, probabilities, principal=principal)
        for own, rows in split_by_version(claims, tables)
    ]
    if not parts:
        raise InputError("no grouper version is in force on any discharge_date of the claims.")
    ranked = pl.concat(parts, how="vertical_relaxed").sort(
        "expected_usd", "admission_id", descending=[True, False], maintain_order=True
    )
    return ranked if most is None else ranked.head(most)


def worklist_rules(tables: TableSet) -> pl.DataFrame:
    """Return the rules of a worklist, and how likely a second look changes the coding.

    Returns:
        `rule`, `probability` [1], `has`, `lacks` (prefixes of codes), `look_for` (the code that may be missing),
        `why`, `basis` of the probability.

    >>> worklist_rules(TableSet.load("43.1")).select("rule", "probability").row(0)
    ('single_mcc', 0.1)
    """
    return read_table(tables.folder, "compliance/worklist.csv", _RULES, nullable=_NULLABLE)


# ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Suggestions:
    """Single changes that rules suggest, (k,): the rule of each, and the code to look at."""

    changes: CodeChanges
    rule: np.ndarray
    look_at: np.ndarray
    is_procedure: BoolArray


def _list_part(
    claims: pl.DataFrame,
    tables: TableSet,
    hospitals: pl.DataFrame | None,
    rates: PriceTerms,
    status: str,
    probabilities: Mapping[str, float] | None,
    *,
    principal: bool,
) -> pl.DataFrame:
    """Return the best suggestion for each account of one version."""
    rules = _set_probabilities(worklist_rules(tables), probabilities)
    cases = Baseline.of(claims, tables=tables, hospitals=hospitals, rates=rates, hospital_status=status)
    found = _join_suggestions(list(_suggest_changes(cases, rules, principal=principal)))
    billed = Rebilled.join(
        run_over_spans(
            len(found.rule),
            lambda a, b: cases.rebill(found.changes.take(slice(a, b)), np.arange(b - a + 1)),
        )
    )
    row = found.changes.row
    change = billed.cents - cases.pricer.cents[row]
    probability = rules["probability"].to_numpy()[found.rule]
    names = rules["rule"].gather(found.rule)
    loses, either = (names.is_in(some).to_numpy() for some in (_ONLY_LOSSES, _EITHER))
    is_wanted = (change != 0) & (either | (loses == (change < 0))) & ~cases.find_ungroupable(billed.drg, row)
    expected = probability * np.abs(change)
    order = np.lexsort((found.changes.after, found.look_at, found.rule, -expected, row))
    order = order[is_wanted[order]]
    best = order[np.unique(row[order], return_index=True)[1]]
    return _describe(found, best, cases, billed, rules)


def _describe(
    found: _Suggestions, best: Int64Array, cases: Baseline, billed: Rebilled, rules: pl.DataFrame
) -> pl.DataFrame:
    """Return suggestions as rows with titles."""
    row, changes = found.changes.row[best], found.changes.take(best)
    dx, procedures = list_code_texts(cases.tables)
    texts = pl.concat([dx, procedures])
    look_at = texts.gather(found.look_at[best] + np.where(found.is_procedure[best], len(dx), 0))
    puts_code = np.isin(changes.kind, (ChangeKind.SDX, ChangeKind.ADD_SDX, ChangeKind.SWAP_PDX))
    then = dx.gather(np.where(puts_code, changes.after, 0))
    cents = cases.pricer.cents[row]
    change = billed.cents[best] - cents
    rule = rules[found.rule[best]]
    frame = pl.DataFrame(
        {
            "admission_id": cases.grouped["admission_id"].gather(row),
            "direction": pl.Series([AT_RISK, NOT_CAPTURED]).gather((change > 0).astype(np.int64)),
            "look_at": look_at.set(look_at == "", None),
            "rule": rule["rule"],
            "why": rule["why"],
            "code_then": then.set(then == "", None),
            "drg": cases.truth.drg[row],
            "drg_then": billed.drg[best],
            "usd": cents / 100,
            "usd_then": billed.cents[best] / 100,
            "usd_change": change / 100,
            "probability": rule["probability"],
            "expected_usd": (rule["probability"].to_numpy() * np.abs(change)).round() / 100,
        }
    )
    carried = carry_columns(cases.grouped, frame.columns)
    titled = with_titles(frame, cases.tables)
    return titled.hstack(carried[row]) if carried.width else titled


def _set_probabilities(rules: pl.DataFrame, probabilities: Mapping[str, float] | None) -> pl.DataFrame:
    """Return the rules with probabilities of the caller's.

    Raises:
        InputError: a rule is not known, or a probability is not from 0 to 1.
    """
    given = dict(probabilities or {})
    known = rules["rule"].to_list()
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
            raise InputError(f"no rule of the worklist is called {name!r}.{hint}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InputError(f"the probability of {name!r} is {value!r}, expected a number from 0 to 1.")
    own = [float(given.get(name, value)) for name, value in rules.select("rule", "probability").rows()]
    return rules.with_columns(probability=pl.Series(own, dtype=pl.Float64))


def _suggest_changes(cases: Baseline, rules: pl.DataFrame, *, principal: bool) -> Iterator[_Suggestions]:
    """Yield what each rule suggests."""
    number = {name: place for place, name in enumerate(rules["rule"])}
    yield _suggest_removals(cases, number)
    yield from _suggest_poa(cases, number["poa_missing"])
    yield _suggest_specific_codes(cases, number["unspecified"])
    for name, has, lacks, look_for in rules.select("rule", "has", "lacks", "look_for").rows():
        if look_for is not None:
            yield _suggest_missing_code(cases, number[name], has.split(" "), lacks.split(" "), look_for)
    if principal:
        sites = PdxResequence(rate=1.0).sites(cases)
        option, site = expand_rows(sites.options.start, sites.group.astype(np.int64))
        changes = sites.changes(site, option)
        yield _make_suggestions(changes, number["other_principal"], changes.after)


def _make_suggestions(
    changes: CodeChanges, rule: np.ndarray | int, look_at: np.ndarray, *, procedure: np.ndarray | bool = False
) -> _Suggestions:
    k = len(changes)
    return _Suggestions(
        changes,
        np.broadcast_to(np.asarray(rule, np.int64), k),
        np.asarray(look_at, np.int64),
        np.broadcast_to(np.asarray(procedure, np.bool_), k),
    )


def _join_suggestions(parts: list[_Suggestions]) -> _Suggestions:
    changes = CodeChanges.join([part.changes for part in parts])
    rule, look_at, procedure = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("rule", "look_at", "is_procedure")
    )
    order = np.argsort(changes.row, kind="stable")
    return _Suggestions(changes.take(order), rule[order], look_at[order], procedure[order])


def _suggest_removals(cases: Baseline, number: Mapping[str, int]) -> _Suggestions:
    """Suggest to look at each CC, MCC and procedure: the DRG may rest on it alone."""
    each, diagnoses = list_removals(cases.encoded), cases.rules.diagnoses
    is_procedure = each.kind == ChangeKind.PROCEDURE
    level = np.zeros(len(each), np.uint8)
    of_sdx = np.flatnonzero(~is_procedure)
    level[of_sdx] = diagnoses.scheme_severity[diagnoses.scheme[each.before[of_sdx]]]
    rule = np.where(is_procedure, number["one_procedure"], number["single_cc"])
    rule[level == 2] = number["single_mcc"]
    rule[~is_procedure & _find_questioned(cases)[np.where(is_procedure, 0, each.before)]] = number["often_questioned"]
    kept = np.flatnonzero(is_procedure | (level > 0))
    some = each.take(kept)
    return _make_suggestions(some, rule[kept], some.before, procedure=is_procedure[kept])


def _find_questioned(cases: Baseline) -> BoolArray:
    """Return which diagnoses payers often question, by number."""
    columns = {"code": pl.String(), "weight": pl.Float64(), "note": pl.String()}
    codes = read_table(cases.tables.folder, "miscoding/unsupported_mcc.csv", columns)["code"]
    return np.concatenate([[False], cases.rules.diagnosis_book.codes.is_in(codes.implode()).to_numpy()])


def _suggest_poa(cases: Baseline, rule: int) -> Iterator[_Suggestions]:
    """Suggest both POA values where POA is missing on the code of a hospital-acquired condition."""
    encoded, diagnoses = cases.encoded, cases.rules.diagnoses
    if encoded.poa is None:
        return
    acquired = diagnoses.kind_hac[diagnoses.kind[encoded.sdx]]
    exempt = load_code_limits(cases.tables).poa_exempt[encoded.sdx]
    at = np.flatnonzero((encoded.poa == POA_NOT_RECOGNISED) & acquired & ~exempt)
    row = encoded.sdx_row[at].astype(np.int64)
    place = (at - encoded.sdx_start[row]).astype(np.int32)
    for value in (POA_PRESENT, POA_NOT_PRESENT):
        numbers = [np.full(len(at), code, np.int32) for code in (POA_NOT_RECOGNISED, value)]
        changes = CodeChanges(row, np.full(len(at), ChangeKind.POA, np.uint8), place, numbers[0], numbers[1])
        yield _make_suggestions(changes, rule, encoded.sdx[at])


def _suggest_specific_codes(cases: Baseline, rule: int) -> _Suggestions:
    """Suggest the likeliest code of a higher severity in place of an unspecified one."""
    sites = SeverityUpgrade(rate=1.0).sites(cases)
    which = np.flatnonzero(find_unspecified(cases.tables)[sites.before])
    start, weight = sites.options.start, sites.options.weight
    groups = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.lexsort((np.arange(len(weight)), -weight, groups))
    first = order[np.minimum(start[:-1], max(len(order) - 1, 0))] if len(order) else np.zeros(0, np.int64)
    changes = sites.changes(which, first[sites.group[which]])
    return _make_suggestions(changes, rule, changes.before)


def _suggest_missing_code(
    cases: Baseline, rule: int, has: Sequence[str], lacks: Sequence[str], look_for: str
) -> _Suggestions:
    """Suggest a diagnosis at which codes hint where none of its kind is coded."""
    encoded, (dx, procedures) = cases.encoded, list_code_texts(cases.tables)

    def find(texts: pl.Series, prefixes: Sequence[str]) -> BoolArray:
        begins: Callable[[str], pl.Series] = texts.str.starts_with
        return np.asarray(np.any([begins(prefix).to_numpy() for prefix in prefixes], axis=0))

    hints, rivals, by_procedure = find(dx, has), find(dx, lacks), find(procedures, has)
    look_at, is_procedure = np.zeros(len(cases), np.int64), np.zeros(len(cases), np.bool_)
    for codes, row, which, of_procedures in (
        (encoded.procedures, encoded.procedure_row, by_procedure, True),
        (encoded.sdx, encoded.sdx_row, hints, False),
    ):
        at = np.flatnonzero(which[codes])[::-1]  # the first of a row is written last
        look_at[row[at]], is_procedure[row[at]] = codes[at], of_procedures
    lacking = ~rivals[encoded.pdx]
    lacking[encoded.sdx_row[rivals[encoded.sdx]]] = False
    number = cases.rules.diagnosis_book.numbers(pl.Series([look_for]))
    is_valid = bool(cases.rules.diagnoses.valid[number][0])
    rows = np.flatnonzero(lacking & (look_at > 0)) if is_valid else np.zeros(0, np.int64)
    zero = np.zeros(len(rows), np.int32)
    changes = CodeChanges(rows, np.full(len(rows), ChangeKind.ADD_SDX, np.uint8), zero, zero, zero + number[0])
    return _make_suggestions(changes, rule, look_at[rows], procedure=is_procedure[rows])
