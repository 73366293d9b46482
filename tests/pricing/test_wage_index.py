"""The wage index of a hospital: area, floors, out-migration, boost, limit, Indian Health Service, in this order."""

import polars as pl
import pytest

from drgsim.exceptions import MissingRateError
from drgsim.pricing.hospitals import complete_hospitals
from drgsim.rates.payment_rates import Rates


def index_of(year: int, **columns: object) -> float | None:
    row = {"hospital_id": "A", "operating_ccr": 0.3, **columns}
    return complete_hospitals(pl.DataFrame([row]), Rates.load(year))["wage_index"].item()


@pytest.mark.parametrize(
    ("year", "columns", "expected"),
    [
        # Abilene, TX: its own index without a state, the floor of rural Texas above it.
        (2019, {"cbsa": "10180"}, 0.8247),
        (2019, {"cbsa": "10380"}, 0.3186),
        (2019, {"cbsa": "10380", "ccn_state": "40"}, 0.3711),
        # Rural floor of FY2020 from its own table: Colorado 0.9971; then nothing else.
        (2020, {"cbsa": "06", "reclassified": True}, 0.9971),
        (2020, {"cbsa": "06", "reclassified": True, "ccn_state": "06"}, 0.9971),
        # Imputed floor of the state: New Jersey 1.1141 in FY2023.
        (2023, {"cbsa": "31", "ccn_state": "31"}, 1.1141),
        # Alabama rural in FY2023: 0.6551, raised by half the distance to 0.8427: 0.7489.
        (2023, {"cbsa": "01"}, 0.7489),
        # With out-migration of county 01003 (0.0110): 0.6661, raised to 0.7544.
        (2023, {"cbsa": "01", "county": "01003"}, 0.7544),
        # Not for a reclassified hospital, nor in a county without it.
        (2023, {"cbsa": "01", "county": "01003", "reclassified": True}, 0.7489),
        (2023, {"cbsa": "01", "county": "99999"}, 0.7489),
        # Not below 95 percent of the year before: 0.95 x 0.8000 = 0.7600.
        (2023, {"cbsa": "01", "county": "01003", "prior_wage_index": 0.8}, 0.76),
        (2023, {"cbsa": "01", "county": "01003", "prior_wage_index": 0.7}, 0.7544),
        # No boost since FY2025, none before FY2020.
        (2026, {"cbsa": "01"}, 0.7393),
        (2019, {"cbsa": "01"}, 0.6704),
        # Indian Health Service, in Alaska and elsewhere, whatever the rules before.
        (2023, {"cbsa": "02", "ccn_state": "02", "provider_type": "08", "prior_wage_index": 3.0}, 1.9343),
        (2023, {"cbsa": "01", "ccn_state": "01", "provider_type": "08"}, 1.4448),
        # An area that is not in the table.
        (2023, {"cbsa": "00000", "ccn_state": "31"}, None),
        # The index as paid does not change.
        (2023, {"wage_index": 0.7, "cbsa": "31", "ccn_state": "31", "prior_wage_index": 0.9}, 0.7),
    ],
)
def test_wage_index_by_the_rules_in_order(year: int, columns: dict, expected: float | None) -> None:
    assert index_of(year, **columns) == expected


def test_the_state_of_a_ccn_has_the_floor() -> None:
    frame = pl.DataFrame({"hospital_id": ["310001"], "operating_ccr": [0.3], "cbsa": ["10900"]})
    floor = Rates.load(2023).wage_index.filter(cbsa="31")["imputed_floor"].item()
    own = Rates.load(2023).wage_index.filter(cbsa="10900")["wage_index"].item()
    assert complete_hospitals(frame, Rates.load(2023))["wage_index"].item() == max(floor, own)


@pytest.mark.parametrize("year", [2016, 2017, 2018, 2025, 2027])
def test_years_without_a_table_say_so(year: int) -> None:
    with pytest.raises(MissingRateError, match=f"no wage index table for fiscal year {year}. Give hospitals"):
        index_of(year, cbsa="01")
