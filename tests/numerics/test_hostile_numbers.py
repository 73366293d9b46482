"""Numbers no float or 64-bit integer holds, as arguments: an InputError, whatever the verb."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest

from drgsim import Rates, TableSet, generate, simulate
from drgsim.exceptions import DrgsimError, InputError
from drgsim.miscoding import Scenario
from drgsim.miscoding.error_models import shift_logit
from drgsim.pricing.hospitals import limit_wage_index_fall
from drgsim.scale.parquet_source import check_batch_size

TABLES, RATES, SCENARIO = TableSet.load("43.1"), Rates.load(2026), Scenario.load("illustration")
HOSPITALS, ADMISSIONS = generate(20, seed=1, tables=TABLES)
HOW = {"tables": TABLES, "hospitals": HOSPITALS, "rates": RATES, "seed": 1}

VERBS: dict[str, Callable[[object], object]] = {
    "a rate": lambda value: RATES.reformed({"outlier.fixed_loss": value}),
    "a list of DRGs": lambda value: RATES.reformed({"outlier.burn_drgs": [value]}),
    "a fiscal year": lambda value: Rates.load(value),
    "a factor of rates of errors": lambda value: SCENARIO.scaled(value),
    "a shift of rates of errors": lambda value: shift_logit(0.5, value),
    "a wage index": lambda value: limit_wage_index_fall(value, 0.9, RATES),
    "a wage index of last year": lambda value: limit_wage_index_fall(0.9, value, RATES),
    "a number of admissions": lambda value: generate(value, seed=1, tables=TABLES),
    "a target": lambda value: simulate(ADMISSIONS, SCENARIO, target_se=-abs(value), **HOW),
    "replicates": lambda value: simulate(ADMISSIONS, SCENARIO, replicates=-abs(value), **HOW),
    "rows of a batch": lambda value: check_batch_size(-abs(value)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "value", [10**400, -(10**400), 10**5000, Fraction(10**400, 3)], ids=["10^400", "-10^400", "10^5000", "fraction"]
)
def test_a_number_beyond_every_float(verb: str, value: object):
    with pytest.raises(DrgsimError) as raised:
        VERBS[verb](value)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize("value", ["x", float("nan"), None])
@pytest.mark.parametrize("verb", [verb for verb in VERBS if "abs" not in verb][:6])
def test_what_is_no_number(verb: str, value: object):
    with pytest.raises(InputError):
        VERBS[verb](value)
