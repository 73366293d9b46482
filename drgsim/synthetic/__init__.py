"""Synthetic hospitals and admissions that resemble a population.

Its modules:

    generator         generate(), generate_batches()
    population        who is admitted, for what and where; every figure with its source
    hospitals         synthetic hospitals
    drg_requirements  what a DRG formula requires of an admission
    template_solver   principal diagnosis and procedures that reach a DRG
    templates         templates that the grouper has confirmed
    generation_plan   a version and a population compiled to arrays
    comorbidity       secondary diagnoses that go together
    hospital_course   one attempt: patient, comorbidity, procedures, stay, discharge, POA
    pilot             attempts repeated until confirmed; intercepts tuned to the population
    validation        a generated population compared with published figures
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.numerics.keyed_random import random_bits as random_bits
    from drgsim.numerics.keyed_random import uniform as uniform
    from drgsim.synthetic.generator import generate as generate
    from drgsim.synthetic.generator import generate_batches as generate_batches
    from drgsim.synthetic.population import AgeBand as AgeBand
    from drgsim.synthetic.population import Figure as Figure
    from drgsim.synthetic.population import Population as Population
    from drgsim.synthetic.population import populations as populations
    from drgsim.synthetic.population import volumes as volumes
    from drgsim.synthetic.validation import validity as validity

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "AgeBand": "synthetic.population",
        "Figure": "synthetic.population",
        "Population": "synthetic.population",
        "generate": "synthetic.generator",
        "generate_batches": "synthetic.generator",
        "populations": "synthetic.population",
        "random_bits": "numerics.keyed_random",
        "uniform": "numerics.keyed_random",
        "validity": "synthetic.validation",
        "volumes": "synthetic.population",
    },
)
