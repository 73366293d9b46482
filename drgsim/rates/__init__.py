"""Payment parameters by fiscal year; their public names are those of `drgsim.pricing`.

Its modules:

    payment_rates  Rates: the parameters of a fiscal year, and changes to them
    parameters     rate files, tables of a fiscal year, range and decimals of parameters
    table5         weights and mean stays as CMS publishes them
"""
