"""drgsim: MS-DRG grouping, IPPS pricing and coding-error simulation for millions of admissions.

A module imports only from layers below its own:

     0  errors              every exception as one tree
     0  draws               random numbers keyed by seed, stream and admission
     0  bounded             files from anybody's hands, read within bounds
     0  spark_worker        what a Spark worker does with the batches of a partition
     0  exact               decimal arithmetic over whole columns, in integers
     0  console             how commands are declared, and what is told while one runs
     0  runs                runs of equal rows, ORs over them, distinct combinations
     0  spans               rows split over all cores
     0  limits              what a payment parameter may be
     0  telling             a report in sections, as text and as HTML
     0  progress            the bar of a long run
     0  statistics          means, standard errors and intervals over replicates
     0  claims_report       what a file of claims gives, and what of it could not be mapped
     1  headline            a simulation in a few lines
     1  schema              columns, types and units of every frame a user sees
     1  manifest            the table folder, every file read through its manifest
     1  formula             the DRG formula language
     1  estimators          from a sample of reviewed claims to a population
     1  reviewing           reviewers who err
     1  drawing             what every figure shares: inks, Axes, units of money
     1  page                a self-contained HTML page
     1  peers               hospitals beside their peers, and who would newly stand out
     1  outlier             cost outliers
     1  transfer            acute and post-acute transfers
     1  table5              weights and mean stays as CMS publishes them
     1  release_wire        Protocol Buffers wire format, read strictly
     1  claims_source       files as they lie: tables of text, JSON documents
     2  evidence_plots      figures of audits, validity and speed
     2  files               frames in files: read by suffix, written whole or not at all
     2  tables              one grouper version, checked and frozen
     2  rates               payment parameters by fiscal year, and reforms over them
     2  claims_build        stays and their codes to admissions
     2  demands             what a DRG formula asks of an admission
     2  release             published grouper facts to the project's own tables
     2  release_payment     the same of payment facts
     2  sampling            audit samples: designs, and claims drawn by them
     2  casemix             why a case-mix index moved
     2  release_data        the data file of a CMS grouper release, decoded
     3  encode              code strings to small integers, once
     3  rulebook            the formulas of a version as bit masks, and the search through them
     3  batches             Parquet larger than memory, batch by batch
     3  stays               admissions as the pricer takes them; with_weights()
     3  settlement          after the pricer: deductible, coinsurance, sequestration
     3  terms               payment factors that every stay of a hospital shares
     3  release_import      a CMS grouper release to a table folder
     3  release_diff        two grouper versions compared
     3  population          who is admitted, for what, where; every figure with its source
     3  families            which DRG families split by CC or MCC
     3  measures            what a compliance profile measures, held against the version
     3  auditing            audit(): sample, review, estimate, recover; and thousands of them
     3  sizing              how large an audit sample must be
     3  claims_mimic        reader: MIMIC-IV
     3  claims_long         reader: a row a code
     3  claims_rif          reader: CMS Research Identifiable Files
     3  claims_hcup         reader: HCUP NIS and SID
     3  claims_fhir         reader: FHIR ExplanationOfBenefit
     3  claims_837          reader: X12 837 institutional
     3  claims_json         reader: claims as JSON objects
     4  resumable           long runs in parts, continued where they died
     4  clusters            procedures that mean something together
     4  hospitals           provider inputs, completed and validated
     4  technology          new technology add-ons
     4  information         what CMS's pricer reports beside the payment
     4  legality            which codes may stand where
     4  providers           synthetic hospitals
     4  edits               what a coding error changes, and claims with it made
     4  deterrence          what wrong claims have to expect from an audit
     4  claims_flat         reader: a row an admission
     5  attributes          codes to operand bits
     5  regulation          what IPPS pays for a stay, in the order of 42 CFR 412
     5  cores               the core of an admission, solved from its DRG's formula
     5  comorbidity         secondary diagnoses that go together
     5  sites               where an error can happen, and what may come of it
     5  claims              claim files of every layout
     6  observe             an admission's codes reduced to what the formulas see
     6  payment             pay(): every component of IPPS for each admission
     7  hac                 hospital-acquired conditions and POA
     7  search              one grouping pass: pre-MDC, the MDC of the PDX, reroutes
     7  repricing           admissions priced once, ready to be priced again
     7  neighbours          which codes a code is mistaken for
     8  sight               what the formulas can see of an edit
     8  marking             what the grouper reports of each code
     9  grouper             group(): reads as the Definitions Manual
     9  witness             which codes make an operand of a formula true
    10  validity            a generated population against what is known of the real one
    10  path                how the grouper came to a DRG, as data
    10  pool                confirmed cores of every DRG
    10  cases               admissions ready for coding errors
    10  surviving           CCs and MCCs that count
    11  explaining          explain(): why one admission got its DRG and its dollars
    11  code_values         code_value(): what each code is worth, in DRGs, weight and dollars
    11  plan                what generate() needs, compiled once
    11  release_population  the same of population facts
    11  guards              what keeps a miscoded claim legal
    11  clustering          hospitals and coders differ
    11  profiles            profile(): hospitals beside their peers
    12  study_plots         figures of doses, detection, peers and codes
    12  course              what happens in an admission: comorbidity, stay, discharge
    12  miscoding           coding errors: what every operator shares
    13  bills               errors put together into bills, and shared out again
    13  synth               generate(): synthetic hospitals and admissions
    13  diagnosis_errors    coding errors of diagnoses
    13  procedure_errors    coding errors of procedures
    13  claim_errors        errors of discharge status, sex and age
    13  strategy            upcoding as a choice
    14  audit_response      upcoding and audit in answer to each other
    14  scenario            scenario files, and the shipped ones
    15  exposures           exposure(): every admission under every single error
    15  results             the result of a simulation
    15  verifying           a table folder held against its manifest and its own rules
    16  keeping             results of simulations in folders
    16  simulation          simulate(): admissions billed with errors
    16  simulation_plots    figures of a simulation
    16  transition_plots    figures of its DRG transitions
    17  sensitivity         sweeps, Morris, Sobol, and how small the studies are
    17  calibration         calibrate(): rates fitted to what a study found
    17  findings            what a study found beside what a scenario comes to
    17  impacts             impact(): two simulations compared
    17  merging             simulations of parts, put together exactly
    17  plots               every figure
    17  selftest            whether an installation gives known answers
    18  release_scenarios   mixes of errors fitted to what studies found
    18  reporting           report(): a simulation as one HTML file
    18  scale               group_parquet(), price_parquet(), simulate_parquet(): larger than memory
    18  spark               group(), price(), simulate() of Spark frames
    18  demo                the main job, end to end
    19  cli_claims          commands on admissions
    19  cli_tables          commands on tables and scenarios
    20  cli                 the command line
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drgsim.claims.layouts import read_claims
    from drgsim.compliance.audits import audit
    from drgsim.compliance.profiles import profile
    from drgsim.exceptions import (
        DrgsimError,
        InputError,
        MissingRateError,
        SchemaError,
        TableError,
        UnknownVersionError,
    )
    from drgsim.explanation.code_values import code_value
    from drgsim.explanation.explanations import explain
    from drgsim.grouping.grouper import group
    from drgsim.miscoding.scenarios import Scenario
    from drgsim.plots.html_report import report
    from drgsim.pricing.pricer import pay
    from drgsim.pricing.pricer_input import with_weights
    from drgsim.pricing.rates import Rates
    from drgsim.simulation.exposures import exposure
    from drgsim.simulation.simulator import simulate
    from drgsim.studies.calibration import calibrate
    from drgsim.studies.comparison import impact
    from drgsim.synthetic.generator import generate
    from drgsim.tables.table_set import TableSet, version_for, versions

__all__ = [
    "DrgsimError",
    "InputError",
    "MissingRateError",
    "Rates",
    "Scenario",
    "SchemaError",
    "TableError",
    "TableSet",
    "UnknownVersionError",
    "audit",
    "calibrate",
    "code_value",
    "explain",
    "exposure",
    "generate",
    "group",
    "impact",
    "pay",
    "profile",
    "read_claims",
    "report",
    "simulate",
    "version_for",
    "versions",
    "with_weights",
]

_HOME = {
    "Rates": "pricing.rates",
    "Scenario": "miscoding.scenarios",
    "TableSet": "tables.table_set",
    "audit": "compliance.audits",
    "calibrate": "studies.calibration",
    "code_value": "explanation.code_values",
    "explain": "explanation.explanations",
    "exposure": "simulation.exposures",
    "generate": "synthetic.generator",
    "group": "grouping.grouper",
    "impact": "studies.comparison",
    "pay": "pricing.pricer",
    "profile": "compliance.profiles",
    "read_claims": "claims.layouts",
    "report": "plots.html_report",
    "simulate": "simulation.simulator",
    "version_for": "tables.table_set",
    "versions": "tables.table_set",
    "with_weights": "pricing.pricer_input",
}
"""Where each public name lives; the errors live in `errors`. A module is loaded when a name of it is first used.

No module is called as a public name is: importing one would put the module in the name's place.
"""


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562), so that `import drgsim` itself costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'drgsim' has no attribute {name!r}")
    value = getattr(import_module(f"drgsim.{_HOME.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
