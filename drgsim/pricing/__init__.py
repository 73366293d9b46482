"""IPPS payment, in the order of 42 CFR 412.

Its modules:

    pricer            price(), price_stays()
    ipps              every component of one stay, in order
    pricer_input      admissions as the pricer takes them; with_weights()
    hospitals         provider inputs, completed and checked; wage index by area
    hospital_factors  what all stays of a hospital share: IME, DSH, wage index, programs
    transfers         acute and post-acute transfers
    outliers          cost outliers
    new_technology    what codes and days add: new technologies, COVID-19, no-cost products
    informational     what the pricer reports and does not pay
    cost_sharing      deductible, coinsurance and sequestration, after the pricer
    contracts         a payer's contract, from TOML
    payer_pricing     stays priced by a contract; which payer prices which stay
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.claim_fields.hospital_files import assign_hospital as assign_hospital
    from drgsim.claim_fields.hospital_files import read_hospitals as read_hospitals
    from drgsim.pricing.contracts import Contract as Contract
    from drgsim.pricing.contracts import DayBand as DayBand
    from drgsim.pricing.contracts import LesserOfTerms as LesserOfTerms
    from drgsim.pricing.contracts import OutlierTerms as OutlierTerms
    from drgsim.pricing.contracts import PayRule as PayRule
    from drgsim.pricing.contracts import StopLossTerms as StopLossTerms
    from drgsim.pricing.contracts import TransferTerms as TransferTerms
    from drgsim.pricing.cost_sharing import settled_steps as settled_steps
    from drgsim.pricing.cost_sharing import with_beneficiary_share as with_beneficiary_share
    from drgsim.pricing.cost_sharing import with_sequestration as with_sequestration
    from drgsim.pricing.hospitals import complete_hospitals as complete_hospitals
    from drgsim.pricing.hospitals import example_hospitals as example_hospitals
    from drgsim.pricing.new_technology import list_add_ons as list_add_ons
    from drgsim.pricing.pricer import COMPONENTS as COMPONENTS
    from drgsim.pricing.pricer import PAY_CODES as PAY_CODES
    from drgsim.pricing.pricer import price as price
    from drgsim.pricing.pricer import price_stays as price_stays
    from drgsim.pricing.pricer_input import derive_review_codes as derive_review_codes
    from drgsim.pricing.pricer_input import with_weights as with_weights
    from drgsim.provider_files import read_impact_file as read_impact_file
    from drgsim.provider_files import read_provider_file as read_provider_file
    from drgsim.rates.parameters import Parameter as Parameter
    from drgsim.rates.payment_rates import Rates as Rates
    from drgsim.rates.payment_rates import fiscal_year_of as fiscal_year_of
    from drgsim.rates.payment_rates import rate_years as rate_years
    from drgsim.rates.table5 import read_table5 as read_table5

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Contract": "pricing.contracts",
        "DayBand": "pricing.contracts",
        "LesserOfTerms": "pricing.contracts",
        "OutlierTerms": "pricing.contracts",
        "PayRule": "pricing.contracts",
        "StopLossTerms": "pricing.contracts",
        "TransferTerms": "pricing.contracts",
        "COMPONENTS": "pricing.pricer",
        "PAY_CODES": "pricing.pricer",
        "Parameter": "rates.parameters",
        "Rates": "rates.payment_rates",
        "assign_hospital": "claim_fields.hospital_files",
        "read_hospitals": "claim_fields.hospital_files",
        "list_add_ons": "pricing.new_technology",
        "complete_hospitals": "pricing.hospitals",
        "derive_review_codes": "pricing.pricer_input",
        "example_hospitals": "pricing.hospitals",
        "fiscal_year_of": "rates.payment_rates",
        "price": "pricing.pricer",
        "price_stays": "pricing.pricer",
        "rate_years": "rates.payment_rates",
        "read_impact_file": "provider_files",
        "read_provider_file": "provider_files",
        "read_table5": "rates.table5",
        "settled_steps": "pricing.cost_sharing",
        "with_beneficiary_share": "pricing.cost_sharing",
        "with_sequestration": "pricing.cost_sharing",
        "with_weights": "pricing.pricer_input",
    },
)
