"""drgsim: MS-DRG grouping, IPPS pricing and coding-error simulation for millions of admissions.

A package depends only on rows below its own. Each package lists its modules in its own docstring.

    row  package        what it is about
     9   cli            commands; each is one public function
     8   studies        questions asked of simulations
     8   scale          data larger than memory, and Spark
     8   plots          figures, and the HTML report
     7   simulation     claims billed with errors, many times
     7   compliance     audits, compliance profiles, deterrence
     7   releases       CMS releases to table folders
     7   review         billed against computed, two codings, worklists
     6   miscoding      coding errors and scenarios
     6   explanation    why this DRG, and what each code is worth
     5   claims         claim files to admissions
     5   provider_files CMS's files of hospitals
     5   rebilling      a claim changed, grouped and priced again
     5   synthetic      synthetic hospitals and admissions
     4   grouping       codes to MS-DRG
     4   claim_fields   what the fields of a claim mean, in every layout
     4   pricing        MS-DRG to IPPS dollars
     4   frame_writer   frames to Parquet, CSV and Excel files
     4   editing        claims held against the Medicare Code Editor
     3   rates          payment parameters by fiscal year
     2   tables         grouper versions, codes, manifest
     1   schema         columns, types and units of every frame
     1   files          files read within bounds, written whole or not at all
     0   exceptions     every exception, as one tree
     0   display        results as text and as HTML
     0   numerics       arithmetic over whole columns
     0   version        the installed release

The main line reads upwards: `claims` or `synthetic`, then `grouping`, `pricing`, `miscoding`, `simulation`, and from
there `compliance`, `explanation` and `plots`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.claims.layouts import read_claims as read_claims
    from drgsim.compliance.audits import audit as audit
    from drgsim.compliance.profiles import profile as profile
    from drgsim.editing.code_editor import edit as edit
    from drgsim.exceptions import DrgsimError as DrgsimError
    from drgsim.exceptions import InputError as InputError
    from drgsim.exceptions import MissingRateError as MissingRateError
    from drgsim.exceptions import SchemaError as SchemaError
    from drgsim.exceptions import StorageError as StorageError
    from drgsim.exceptions import TableError as TableError
    from drgsim.exceptions import UnknownVersionError as UnknownVersionError
    from drgsim.explanation.code_values import code_value as code_value
    from drgsim.explanation.explanations import explain as explain
    from drgsim.frame_writer import write as write
    from drgsim.grouping.grouper import group as group
    from drgsim.miscoding.scenarios import Scenario as Scenario
    from drgsim.plots.html_report import report as report
    from drgsim.pricing.pricer import price as price
    from drgsim.pricing.pricer_input import with_weights as with_weights
    from drgsim.rates.payment_rates import Rates as Rates
    from drgsim.rebilling.claim_conversion import convert_admissions as convert_admissions
    from drgsim.simulation.exposures import exposure as exposure
    from drgsim.simulation.simulator import simulate as simulate
    from drgsim.studies.calibration import calibrate as calibrate
    from drgsim.studies.comparison import compare_simulations as compare_simulations
    from drgsim.synthetic.generator import generate as generate
    from drgsim.tables.code_conversion import convert_codes as convert_codes
    from drgsim.tables.table_set import TableSet as TableSet
    from drgsim.tables.table_set import version_for as version_for
    from drgsim.tables.table_set import versions as versions
    from drgsim.version import __version__ as __version__

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "DrgsimError": "exceptions",
        "InputError": "exceptions",
        "MissingRateError": "exceptions",
        "Rates": "rates.payment_rates",
        "Scenario": "miscoding.scenarios",
        "SchemaError": "exceptions",
        "StorageError": "exceptions",
        "TableError": "exceptions",
        "TableSet": "tables.table_set",
        "UnknownVersionError": "exceptions",
        "__version__": "version",
        "audit": "compliance.audits",
        "calibrate": "studies.calibration",
        "code_value": "explanation.code_values",
        "compare_simulations": "studies.comparison",
        "convert_admissions": "rebilling.claim_conversion",
        "convert_codes": "tables.code_conversion",
        "edit": "editing.code_editor",
        "explain": "explanation.explanations",
        "exposure": "simulation.exposures",
        "generate": "synthetic.generator",
        "group": "grouping.grouper",
        "price": "pricing.pricer",
        "profile": "compliance.profiles",
        "read_claims": "claims.layouts",
        "report": "plots.html_report",
        "simulate": "simulation.simulator",
        "version_for": "tables.table_set",
        "versions": "tables.table_set",
        "with_weights": "pricing.pricer_input",
        "write": "frame_writer",
    },
)
