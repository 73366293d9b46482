"""drgsim: MS-DRG grouping, IPPS pricing and coding-error simulation for millions of admissions.

A module imports only from layers below its own:

     0  errors              every exception as one tree
     0  draws               random numbers keyed by seed, stream and admission
     0  exact               decimal arithmetic over whole columns, in integers
     0  runs                runs of equal rows, ORs over them, distinct combinations
     0  spans               rows split over all cores
     0  limits              what a payment parameter may be
     0  impact              two runs compared
     0  plots               figures: functions that take and return Axes
     0  claims_report       what a file of claims gives, and what of it could not be mapped
     1  schema              columns, types and units of every frame a user sees
     1  manifest            the table folder, every file read through its manifest
     1  formula             the DRG formula language
     1  outlier             cost outliers
     1  transfer            acute and post-acute transfers
     1  table5              weights and mean stays as CMS publishes them
     1  release_wire        Protocol Buffers wire format, read strictly
     1  claims_source       files as they lie: tables of text, JSON documents
     2  tables              one grouper version, checked and frozen
     2  rates               payment parameters by fiscal year, and reforms over them
     2  claims_build        stays and their codes to admissions
     2  demands             what a DRG formula asks of an admission
     2  release             published grouper facts to the project's own tables
     2  release_payment     the same of payment facts
     2  release_data        the data file of a CMS grouper release, decoded
     3  encode              code strings to small integers, once
     3  rulebook            the formulas of a version as bit masks, and the search through them
     3  stays               admissions as the pricer takes them; with_weights()
     3  settlement          after the pricer: deductible, coinsurance, sequestration
     3  terms               payment factors that every stay of a hospital shares
     3  release_import      a CMS grouper release to a table folder
     3  release_diff        two grouper versions compared
     3  population          who is admitted, for what, where; every figure with its source
     3  claims_mimic        reader: MIMIC-IV
     3  claims_long         reader: a row a code
     3  claims_rif          reader: CMS Research Identifiable Files
     3  claims_hcup         reader: HCUP NIS and SID
     3  claims_fhir         reader: FHIR ExplanationOfBenefit
     3  claims_837          reader: X12 837 institutional
     3  claims_json         reader: claims as JSON objects
     4  clusters            procedures that mean something together
     4  hospitals           provider inputs, completed and validated
     4  technology          new technology add-ons
     4  information         what CMS's pricer reports beside the payment
     4  legality            which codes may stand where
     4  providers           synthetic hospitals
     4  claims_flat         reader: a row an admission
     5  attributes          codes to operand bits
     5  payment             pay(): reads as 42 CFR 412
     5  cores               the core of an admission, solved from its DRG's formula
     5  comorbidity         secondary diagnoses that go together
     5  claims              claim files of every layout
     6  observe             an admission's codes reduced to what the formulas see
     6  miscoding           coding errors: encoded admissions in and out
     7  hac                 hospital-acquired conditions and POA
     7  search              one grouping pass: pre-MDC, the MDC of the PDX, reroutes
     8  marking             what the grouper reports of each code
     9  grouper             group(): reads as the Definitions Manual
    10  demo                the main job, end to end
    10  validity            a generated population against what is known of the real one
    10  pool                confirmed cores of every DRG
    11  plan                what generate() needs, compiled once
    11  release_population  the same of population facts
    12  course              what happens in an admission: comorbidity, stay, discharge
    13  synth               generate(): synthetic hospitals and admissions
    14  cli                 the command line
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drgsim.claims import read_claims
    from drgsim.errors import (
        DrgsimError,
        InputError,
        MissingRateError,
        SchemaError,
        TableError,
        UnknownVersionError,
    )
    from drgsim.grouper import group
    from drgsim.payment import pay
    from drgsim.rates import Rates
    from drgsim.stays import with_weights
    from drgsim.synth import generate
    from drgsim.tables import TableSet, version_for, versions

__all__ = [
    "DrgsimError",
    "InputError",
    "MissingRateError",
    "Rates",
    "SchemaError",
    "TableError",
    "TableSet",
    "UnknownVersionError",
    "generate",
    "group",
    "pay",
    "read_claims",
    "version_for",
    "versions",
    "with_weights",
]

_HOME = {
    "Rates": "rates",
    "TableSet": "tables",
    "generate": "synth",
    "group": "grouper",
    "pay": "payment",
    "read_claims": "claims",
    "version_for": "tables",
    "versions": "tables",
    "with_weights": "stays",
}
"""Where each public name lives; the errors live in `errors`. A module is loaded when a name of it is first used."""


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562), so that `import drgsim` itself costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'drgsim' has no attribute {name!r}")
    value = getattr(import_module(f"drgsim.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
