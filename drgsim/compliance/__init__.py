"""Audits, compliance profiles and deterrence.

Its modules:

    review_findings       a real audit: extrapolate()
    findings_file         read_findings(): what reviewers found, by account
    audits                simulated audits: audit(), simulate_audits(), coverage()
    sampling              audit samples: designs, and claims drawn by them
    extrapolation         from a sample to the overpayment of a population; Audit and its tables
    sample_sizes          how large a sample must be
    reviewers             reviewers who make mistakes
    deterrence            what an audit design does to those who upcode
    upcoding_equilibrium  upcoding that expects the audit it causes
    profiles              profile(): hospitals compared with their peers
    target_areas          PEPPER-style measures, from a table
    peers                 percentiles and outliers among peers
    severity_support      how many CCs or MCCs a DRG rests on
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from drgsim._lazy import attach

if TYPE_CHECKING:
    from drgsim.compliance.audits import audit as audit
    from drgsim.compliance.audits import coverage as coverage
    from drgsim.compliance.audits import simulate_audits as simulate_audits
    from drgsim.compliance.deterrence import Consequences as Consequences
    from drgsim.compliance.deterrence import consequences as consequences
    from drgsim.compliance.extrapolation import Audit as Audit
    from drgsim.compliance.extrapolation import Estimate as Estimate
    from drgsim.compliance.extrapolation import Moments as Moments
    from drgsim.compliance.extrapolation import estimate_share as estimate_share
    from drgsim.compliance.extrapolation import estimate_total as estimate_total
    from drgsim.compliance.findings_file import read_findings as read_findings
    from drgsim.compliance.peers import compare_with_peers as compare_with_peers
    from drgsim.compliance.peers import find_new_outliers as find_new_outliers
    from drgsim.compliance.peers import find_rates_until_outlier as find_rates_until_outlier
    from drgsim.compliance.profiles import profile as profile
    from drgsim.compliance.review_findings import extrapolate as extrapolate
    from drgsim.compliance.reviewers import Reviewers as Reviewers
    from drgsim.compliance.sample_sizes import SampleSize as SampleSize
    from drgsim.compliance.sample_sizes import sample_size as sample_size
    from drgsim.compliance.sampling import ProbeThenFull as ProbeThenFull
    from drgsim.compliance.sampling import SimpleRandom as SimpleRandom
    from drgsim.compliance.sampling import Stratified as Stratified
    from drgsim.compliance.sampling import allocate_sample as allocate_sample
    from drgsim.compliance.sampling import find_boundaries as find_boundaries
    from drgsim.compliance.sampling import sample as sample
    from drgsim.compliance.severity_support import count_supporting_severity as count_supporting_severity
    from drgsim.compliance.target_areas import Condition as Condition
    from drgsim.compliance.target_areas import Definition as Definition
    from drgsim.compliance.target_areas import Measure as Measure
    from drgsim.compliance.target_areas import Measures as Measures
    from drgsim.compliance.upcoding_equilibrium import Equilibrium as Equilibrium
    from drgsim.compliance.upcoding_equilibrium import equilibrium as equilibrium

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Audit": "compliance.extrapolation",
        "Condition": "compliance.target_areas",
        "Consequences": "compliance.deterrence",
        "Definition": "compliance.target_areas",
        "Equilibrium": "compliance.upcoding_equilibrium",
        "Estimate": "compliance.extrapolation",
        "Measure": "compliance.target_areas",
        "Measures": "compliance.target_areas",
        "Moments": "compliance.extrapolation",
        "ProbeThenFull": "compliance.sampling",
        "Reviewers": "compliance.reviewers",
        "SampleSize": "compliance.sample_sizes",
        "SimpleRandom": "compliance.sampling",
        "Stratified": "compliance.sampling",
        "allocate_sample": "compliance.sampling",
        "audit": "compliance.audits",
        "compare_with_peers": "compliance.peers",
        "consequences": "compliance.deterrence",
        "count_supporting_severity": "compliance.severity_support",
        "coverage": "compliance.audits",
        "equilibrium": "compliance.upcoding_equilibrium",
        "estimate_share": "compliance.extrapolation",
        "estimate_total": "compliance.extrapolation",
        "extrapolate": "compliance.review_findings",
        "find_boundaries": "compliance.sampling",
        "find_new_outliers": "compliance.peers",
        "find_rates_until_outlier": "compliance.peers",
        "profile": "compliance.profiles",
        "read_findings": "compliance.findings_file",
        "sample": "compliance.sampling",
        "sample_size": "compliance.sample_sizes",
        "simulate_audits": "compliance.audits",
    },
)
