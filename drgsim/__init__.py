"""drgsim: MS-DRG grouping, IPPS pricing and coding-error simulation for millions of admissions.

A module imports only from layers below its own:

     0  errors       every exception as one tree
     1  schema       columns, types and units of every frame a user sees
     1  manifest     the table folder, every file read through its manifest
     1  formula      the DRG formula language
     1  spans        rows split over all cores
     1  runs         runs of equal rows, and distinct combinations
     1  exact        money as integers of its last place
     1  draws        random numbers keyed by seed, stream and admission
     1  table5       relative weights as CMS publishes them
     1  plots        figures: functions that take and return Axes
     2  tables       one grouper version, checked and frozen
     2  claims       readers of claim files
     2  rates        payment parameters by fiscal year, reforms over them
     2  transfer     acute and post-acute transfers
     2  outlier      cost outliers
     2  release_payment, release_population: published facts to the project's own tables
     3  encode       code strings to small integers, once
     3  release      published facts to the project's own tables
     3  terms        a hospital's payment terms
     3  stays        what the pricer takes of an admission; with_weights()
     4  rulebook     the formulas of a version as bit masks, and the search through them
     4  hospitals    provider inputs
     4  technology   new technology add-ons
     4  information  amounts the pricer reports beside the payment
     5  clusters     procedures that mean something together
     5  payment      pay(): reads as 42 CFR 412
     6  attributes   codes to operand bits
     7  observe      an admission's codes reduced to what the formulas see
     8  hac          hospital-acquired conditions and POA
     8  search       one grouping pass: pre-MDC, the MDC of the PDX, reroutes
     9  marking      what the grouper reports of each code
    10  grouper      group(): reads as the Definitions Manual
    11  miscoding    coding errors: encoded admissions in and out
    11  impact       two runs compared
    15  synth        generate(): synthetic hospitals and admissions
    16  demo         the main job, end to end
    17  cli          the command line
"""

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
from drgsim.tables import TableSet, version_for, versions

__all__ = [
    "DrgsimError",
    "InputError",
    "MissingRateError",
    "SchemaError",
    "TableError",
    "TableSet",
    "UnknownVersionError",
    "group",
    "read_claims",
    "version_for",
    "versions",
]
