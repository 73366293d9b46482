"""Names that people give to columns, as words: `match_field(name)`.

A name becomes words: `DISCH_DISP`, `Disch Disp` and `DischargeDisposition` are all "discharge disposition". A rule says
which words a name of a field has, and which it does not have. The first rule that fits decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("acct", "acctno", "acctnum", "account"), "account"),
    **dict.fromkeys(("pt", "pat", "patient", "ptnt", "bene", "beneficiary", "member", "person", "subject"), "patient"),
    **dict.fromkeys(("dx", "dxs", "diag", "diags", "dgns", "diagnosis", "diagnoses", "diagcode", "dxcode"), "dx"),
    **dict.fromkeys(("px", "pxs", "pr", "proc", "procs", "procedure", "procedures", "prcdr", "surgery"), "pr"),
    **dict.fromkeys(("adm", "admit", "admission", "admsn", "admitted", "admitting"), "admit"),
    **dict.fromkeys(("disch", "dschrg", "dsch", "dc", "dis", "discharge", "discharged"), "discharge"),
    **dict.fromkeys(("disp", "dispo", "disposition", "destination", "dstntn"), "disposition"),
    **dict.fromkeys(("sts", "stat", "stus", "status"), "status"),
    **dict.fromkeys(("dt", "dte", "date", "datetime", "day"), "date"),
    **dict.fromkeys(("chg", "chgs", "chrg", "chrgs", "charge", "charges"), "charge"),
    **dict.fromkeys(("tot", "ttl", "total"), "total"),
    **dict.fromkeys(("cvrd", "cov", "covered"), "covered"),
    **dict.fromkeys(("ncvrd", "noncovered", "noncov"), "noncovered"),
    **dict.fromkeys(("num", "no", "nbr", "id", "identifier", "number", "key", "nr"), "number"),
    **dict.fromkeys(("cd", "cds", "code", "codes", "icd", "icd10", "cm", "pcs"), ""),
    **dict.fromkeys(("prin", "princ", "principal", "primary", "prim", "pri", "prncpal", "main"), "principal"),
    **dict.fromkeys(("sec", "secondary", "oth", "other", "addl", "additional", "second"), "secondary"),
    **dict.fromkeys(("enc", "encounter", "csn", "visit", "har", "fin", "episode"), "encounter"),
    **dict.fromkeys(("fac", "facility", "hosp", "hospital", "provider", "prvdr", "prov", "campus"), "facility"),
    **dict.fromkeys(("desc", "descr", "description", "name", "text", "title", "label"), "words"),
    **dict.fromkeys(("gender", "sex"), "sex"),
    **dict.fromkeys(("birth", "birthdate", "dob"), "birth"),
    **dict.fromkeys(("los", "lengthofstay"), "los"),
    **dict.fromkeys(("mrn", "mbi", "hic", "hicn"), "mrn"),
    **dict.fromkeys(("msdrg", "drg", "drgs"), "drg"),
    **dict.fromkeys(("yrs", "yr", "years", "year"), "years"),
    **dict.fromkeys(("external", "ecode", "ecodes", "eci"), "external"),
    **dict.fromkeys(("ind", "indicator", "flag"), "flag"),
    **dict.fromkeys(("of", "the", "at", "on", "for", "and", "in", "a"), ""),
    **dict.fromkeys(("usd", "amt", "amount", "dollars"), "amount"),
}


class Rule(NamedTuple):
    """A rule: the field, the words a name has, and words it does not have."""

    field: str
    has: frozenset[str]
    lacks: frozenset[str]


def _rules(field: str, *names: str, lacks: str = "") -> list[Rule]:
    return [Rule(field, frozenset(name.split()), frozenset(lacks.split())) for name in names]


_NOT_CODES = "date words physician surgeon facility flag type version weight count time group"
RULES: tuple[Rule, ...] = (
    *_rules("pdx_poa", "principal poa", "pdx poa", "poa pdx"),
    *_rules("sdx_poa", "secondary poa", "sdx poa", lacks="external"),
    *_rules("poa", "poa", "present admit", lacks="external"),
    *_rules("admitting", "admit dx", lacks=_NOT_CODES),
    *_rules("external", "external cause", "external dx", "external", lacks=_NOT_CODES),
    *_rules("pdx", "pdx", "principal dx", lacks=_NOT_CODES),
    *_rules("sdx", "sdx", "secondary dx", lacks=_NOT_CODES),
    *_rules("dx", "dx", lacks=_NOT_CODES + " related"),
    *_rules("pr", "pr", lacks=_NOT_CODES + " cpt hcpcs"),
    *_rules("ms_drg_recorded", "drg", lacks="weight words apr soi rom type version amount expected payment gmlos"),
    *_rules("noncovered_charges_usd", "noncovered charge", "non covered charge", lacks="date"),
    *_rules(
        "covered_charges_usd", "covered charge", "total charge", "gross charge", "charge", lacks="date pharmacy room"
    ),
    *_rules("birth_date", "birth", lacks="weight place words"),
    *_rules(
        "admission_date", "admit date", "date admit", "admit", lacks="type source words physician time flag sourced"
    ),
    *_rules(
        "discharge_status", "discharge disposition", "discharge status", "disposition", "patient status", lacks="words"
    ),
    *_rules("discharge_date", "discharge date", "discharge", lacks="type words physician status disposition unit hour"),
    *_rules("statement_from", "statement from", "service from", "from date", lacks="words"),
    *_rules("statement_through", "statement through", "service through", "through date", "thru date", "to date"),
    *_rules("los_days", "los", "length stay", lacks="words gmlos expected icu geometric"),
    *_rules("bill_type", "bill type", "tob", lacks="words"),
    *_rules("sex", "sex", lacks="words"),
    *_rules("age", "age", lacks="group band days months words range"),
    *_rules("patient_id", "mrn", "medical record", "patient number", lacks="account control words encounter claim"),
    *_rules(
        "claim_id",
        "claim number",
        "claim control",
        "account number",
        "patient account",
        "patient control",
        lacks="words",
    ),
    *_rules(
        "claim_id", "encounter number", "account", "encounter", "case number", lacks="words type date status class"
    ),
    *_rules("hospital_id", "ccn", "facility number", "facility", "npi", lacks="words type state attending rendering"),
)
"""Rules in their order. `admitting` and `external` are no fields of a mapping."""
PLURAL_IS_LIST = frozenset({"dx", "sdx", "pr"})


def split_words(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, abbreviations written out, without numbers.

    >>> split_words("DISCH_DISP"), split_words("PrincipalDxCode"), split_words("Sec Dx #02")
    (('discharge', 'disposition'), ('principal', 'dx'), ('secondary', 'dx'))
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", re.sub(r"(?i)icd[-_ ]?10", "icd", name))
    bare = re.findall(r"[a-z]+", spaced.lower())
    return tuple(word for one in bare if (word := _WORDS.get(one, one)))


def match_field(name: str) -> str | None:
    """Return the field that a column's name stands for; None where no rule fits.

    >>> names = ["Patient Account", "Disch Disp", "Principal Dx", "Dx 2", "Billed DRG", "Admit Date", "Payer"]
    >>> [match_field(name) for name in names]
    ['claim_id', 'discharge_status', 'pdx', 'dx', 'ms_drg_recorded', 'admission_date', None]
    """
    words = frozenset(split_words(name))
    return next((rule.field for rule in RULES if rule.has <= words and not rule.lacks & words), None)


def find_template(name: str) -> tuple[str, int] | None:
    """Return a name with `{n}` for its last number, and that number; None where it has none.

    >>> find_template("Dx 02"), find_template("ICD10 Dx"), find_template("POA_3_IND")
    (('Dx {n}', 2), None, ('POA_{n}_IND', 3))
    """
    bare = re.sub(r"(?i)icd[-_ ]?10", lambda match: "\0" * len(match[0]), name)
    numbers = list(re.finditer(r"\d+", bare))
    if not numbers:
        return None
    last = numbers[-1]
    return name[: last.start()] + "{n}" + name[last.end() :], int(last[0])
