"""Arithmetic over whole columns: exact, keyed and on all cores.

Its modules:

    arrays        array types, each defined once
    segments      rows end to end: starts, ORs, distinct combinations
    fixed_point   decimals as 64-bit integers
    keyed_random  random numbers keyed by seed, stream and admission
    parallel      rows split over all cores
"""
