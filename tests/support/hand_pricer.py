"""One stay priced in `decimal` from the statement of the rule, for years whose program could not be run.

It shares nothing with drgsim: the constants are typed here from the published tables, the steps follow the statement of
the rule (42 CFR 412, as CMS's FY2021 program orders them). It is checked against answers of that program.
"""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, getcontext

getcontext().prec = 60
D = Decimal

YEARS = {
    2021: {
        "amounts": {
            ("above", "full"): ("4071.57", "1889.74"),
            ("below", "full"): ("3696.01", "2265.30"),
            ("above", "no quality"): ("4047.71", "1878.67"),
            ("below", "no quality"): ("3674.36", "2252.02"),
            ("above", "no ehr"): ("4000.00", "1856.52"),
            ("below", "no ehr"): ("3631.04", "2225.48"),
            ("above", "neither"): ("3976.14", "1845.45"),
            ("below", "neither"): ("3609.39", "2212.20"),
        },
        "labor_share": "0.683",
        "capital": "466.21",
        "loss": "29064",
        "updates": [("1.0135", "0.99719", "1"), ("1.026", "0.996859", "1")],
        "update": {"full": "1.024", "no quality": "1.018", "no ehr": "1.006", "neither": "1.0"},
        "neutrality": ("0.997975", "1"),
        "no_cost": "0.17",
    },
    2022: {
        "amounts": {
            ("above", "full"): ("4138.24", "1983.41"),
            ("below", "full"): ("3795.42", "2326.23"),
            ("above", "no quality"): ("4110.85", "1970.28"),
            ("below", "no quality"): ("3770.30", "2310.83"),
            ("above", "no ehr"): ("4056.08", "1944.03"),
            ("below", "no ehr"): ("3720.07", "2280.04"),
            ("above", "neither"): ("4028.70", "1930.91"),
            ("below", "neither"): ("3694.96", "2264.65"),
        },
        "puerto_rico": {"full": ("3795.42", "2326.23"), "no ehr": ("3770.30", "2310.83")},
        "labor_share": "0.676",
        "capital": "472.59",
        "loss": "30988",
        "updates": [("1.0135", "0.99719", "1"), ("1.026", "0.996859", "1"), ("1.024", "0.997975", "1")],
        "update": {"full": "1.020", "no quality": "1.01325", "no ehr": "0.99975", "neither": "0.993"},
        "neutrality": ("1.000107", "1"),
        "no_cost": "0.17",
    },
    2023: {
        "amounts": {
            ("above", "full"): ("4310.00", "2065.74"),
            ("below", "full"): ("3952.96", "2422.78"),
            ("above", "no quality"): ("4267.44", "2045.34"),
            ("below", "no quality"): ("3913.92", "2398.86"),
            ("above", "no ehr"): ("4182.32", "2004.54"),
            ("below", "no ehr"): ("3835.85", "2351.01"),
            ("above", "neither"): ("4139.76", "1984.15"),
            ("below", "neither"): ("3796.82", "2327.09"),
        },
        "puerto_rico": {"full": ("3952.96", "2422.78"), "no ehr": ("3874.89", "2374.93")},
        "labor_share": "0.676",
        "capital": "483.79",
        "loss": "38788",
        "updates": [
            ("1.0135", "0.99719", "1"),
            ("1.026", "0.996859", "1"),
            ("1.024", "0.997975", "1"),
            ("1.02", "1.000107", "1"),
        ],
        "update": {"full": "1.038", "no quality": "1.02775", "no ehr": "1.00725", "neither": "0.997"},
        "neutrality": ("1.000509", "0.999764"),
        "no_cost": "0.21",
    },
    2027: {
        "amounts": {
            ("above", "full"): ("4519.68", "2328.32"),
            ("below", "full"): ("4245.76", "2602.24"),
            ("above", "no quality"): ("4484.34", "2310.11"),
            ("below", "no quality"): ("4212.56", "2581.89"),
            ("above", "no ehr"): ("4413.65", "2273.70"),
            ("below", "no ehr"): ("4146.16", "2541.19"),
            ("above", "neither"): ("4378.30", "2255.49"),
            ("below", "neither"): ("4112.95", "2520.84"),
        },
        # The national amounts of the lower labor share, as in FY2022 to FY2026: an assumption.
        "puerto_rico": {"full": ("4245.76", "2602.24"), "no ehr": ("4146.16", "2541.19")},
        "labor_share": "0.66",
        "capital": "539.95",
        "loss": "51704",  # of the proposed rule
        "updates": [
            ("1.0135", "0.99719", "1"),
            ("1.026", "0.996859", "1"),
            ("1.024", "0.997975", "1"),
            ("1.02", "1.000107", "1"),
            ("1.038", "1.000509", "0.999764"),
            ("1.031", "1.001463", "0.999928"),
            ("1.029", "0.99719", "0.999874"),
            ("1.026", "0.99858", "0.999897"),
        ],
        "update": {"full": "1.023", "no quality": "1.015", "no ehr": "0.999", "neither": "0.991"},
        "neutrality": ("1", "1"),  # not found: 1 is given to both
        "no_cost": "0.27",
    },
}

CASE = {
    "wage_index": "1.1",
    "state": "05",
    "cola": "1",
    "size": "O",
    "urban": True,
    "beds": 200,
    "type": "00",
    "residents": "0",
    "capital_residents": "0",
    "ssi": "0",
    "medicaid": "0",
    "occr": "0.25",
    "cccr": "0.02",
    "quality": True,
    "ehr_cut": False,
    "vbp": "",
    "hrr": "",
    "hac": False,
    "ucp": "0",
    "volume": "0",
    "hsp_rate": "0",
    "new_capital": False,
    "plan": False,
    "through": "0",
    "review": 0,
    "los": 5,
    "charges": "40000",
    "covid": False,
    "no_cost": False,
    "islets": 0,
    "ntap": (),
    "covid_treatment": False,
    "covid_other": "0",
}
"""A plain stay; a case names what differs."""


def half_up(value, places):
    return value.quantize(D(1).scaleb(-places), ROUND_HALF_UP)


def price_by_hand(year, drg, case):
    """Return the components of one stay.

    Args:
        year: fiscal year of `YEARS`.
        drg: number, weight, GMLOS, post-acute, special pay: as Table 5 prints them.
        case: what differs from `CASE`.
    """
    law, c = YEARS[year], {**CASE, **case}
    number, weight, gmlos, post_acute, special = drg[0], D(drg[1]), D(drg[2]), drg[3], drg[4]
    wage, cola = D(c["wage_index"]), D(c["cola"]) if c["state"] in ("02", "12") else D(1)
    above = wage > 1
    kind = {(1, 0): "full", (0, 0): "no quality", (1, 1): "no ehr", (0, 1): "neither"}[c["quality"], c["ehr_cut"]]
    if c["state"] == "40" and "puerto_rico" in law:
        kind = "no ehr" if c["ehr_cut"] else "full"
        labor, other = map(D, law["puerto_rico"][kind])
    else:
        labor, other = map(D, law["amounts"]["above" if above else "below", kind])
    covid = D("1.2") if c["covid"] else D(1)
    free = D(law["no_cost"]) if c["no_cost"] else D(1)
    base = labor * wage + other * cola

    # 412.106: disproportionate share; a quarter is paid
    patients, beds, urban_area = half_up(D(c["ssi"]) + D(c["medicaid"]), 4), c["beds"], c["size"] != "R"
    if patients < D("0.15"):
        dsh = D(0)
    elif patients < D("0.202"):
        dsh = half_up((patients - D("0.15")) * D("0.65") + D("0.025"), 4)
    else:
        dsh = half_up((patients - D("0.202")) * D("0.825") + D("0.0588"), 4)
    small = beds < 100 if urban_area else beds < 500 or c["type"] in ("16", "17", "21", "22")
    if small and c["type"] not in ("07", "14", "15", "17", "22"):
        dsh = min(dsh, D("0.12"))
    ime = half_up(D("1.35") * ((1 + D(c["residents"])) ** D("0.405") - 1), 9)

    # 412.4: transfers
    days = D(max(c["los"], 1) + 1)
    to_post_acute = c["review"] in (9, 11) and post_acute
    by_day = c["review"] in (3, 6) or (to_post_acute and not special)
    half = to_post_acute and special
    fraction, adjusted = D(1), weight
    if days < gmlos and by_day:
        fraction = half_up(days / gmlos, 4)
        adjusted = half_up(fraction * weight, 4)
    if days < gmlos and half:
        fraction = half_up(D("0.5") + D("0.5") * days / gmlos, 4)
        quotient = (D("0.5") * days / gmlos).quantize(D("1e-15"), ROUND_DOWN)
        adjusted = half_up((D("0.5") + quotient) * weight, 4)
    paid = D(1) if number == 789 else fraction
    federal = half_up(base * weight * covid * free, 9)
    federal = half_up(federal * paid, 9) if paid < 1 else federal

    # 412.308 to 412.322: capital
    gaf = half_up(wage ** D("0.6848"), 4)
    capital_cola = half_up(D("0.3152") * (cola - 1) + 1, 3)
    capital = half_up(weight * half_up(D(law["capital"]) * gaf, 2) * capital_cola * free, 9)
    capital = half_up(capital * paid, 9) if paid < 1 else capital
    counts = (c["urban"] if year >= 2024 else urban_area) and beds >= 100
    capital_dsh = half_up(D("2.7183") ** (D("0.2025") * (D(c["ssi"]) + D(c["medicaid"]))) - 1, 4) if counts else D(0)
    residents = min(D(c["capital_residents"]), D("1.5"))
    capital_ime = half_up(D("2.7183") ** (D("0.2822") * residents) - 1, 9)

    # 412.88: new technology
    charges, occr, cccr, ucp = D(c["charges"]), D(c["occr"]), D(c["cccr"]), D(c["ucp"])
    federal2 = half_up(federal, 2)
    dsh2, ime2 = half_up(federal2 * dsh / 4, 2), half_up(federal2 * ime, 2)
    payment, cost, ntap = federal2 + dsh2 + ime2 + ucp, charges * occr, D(0)
    for most, share in c["ntap"]:
        lesser = half_up((cost - payment) * D(share), 2)
        ntap += min(D(most), lesser) if lesser > 0 else 0
    if payment + ntap > cost and half_up(cost - payment, 2) > 0:
        ntap = half_up(cost - payment, 2)

    # 412.84: cost outlier
    ratio = occr + cccr
    operating_part = half_up(occr / ratio, 9) if ratio else D(0)
    capital_part = half_up(cccr / ratio, 9) if ratio else D(0)
    loss = D(law["loss"])
    if days < gmlos and (c["review"] == 3 or (c["review"] == 9 and to_post_acute)):
        loss = half_up(loss * fraction, 2)
    share = D(law["labor_share"]) if above else D("0.62")
    dollars = half_up((loss * share * wage + loss * (1 - share) * cola) * operating_part, 9)
    capital_dollars = half_up(loss * gaf * capital_part * capital_cola, 9)
    threshold = half_up(federal * (1 + ime) + federal * dsh / 4 + dollars + ucp + ntap, 9)
    capital_threshold = half_up(capital * (1 + capital_ime + capital_dsh) + capital_dollars, 9)
    capital_threshold = D(0) if c["new_capital"] else capital_threshold
    operating_cost, capital_cost = half_up(cost, 9), half_up(charges * cccr, 9)
    outlier = capital_outlier = D(0)
    marginal = D("0.9") if number in (927, 928, 929, 933, 934, 935) else D("0.8")
    if operating_cost + capital_cost >= threshold + capital_threshold and c["review"] not in (6, 7, 11):
        outlier = half_up(max(operating_cost - threshold, D(0)) * marginal, 9)
        capital_outlier = half_up(max(capital_cost - capital_threshold, D(0)) * marginal, 9)
        capital_outlier = D(0) if c["new_capital"] else capital_outlier

    # 412.87: new COVID-19 treatments, after the outlier
    if c["covid_treatment"] and operating_cost > threshold - dollars:
        less = D(c["covid_other"])
        lesser = min(dollars * D("0.65"), (operating_cost - (threshold - dollars - less)) * D("0.65"))
        ntap += half_up(max(lesser - less, D(0)), 2)

    # 412.154, 412.162: programs
    drg_payment = half_up(federal + ntap, 2)
    hrr = half_up(D(c["hrr"]) * drg_payment - drg_payment, 2) if c["hrr"] else D(0)
    vbp = half_up(D(c["vbp"]) * drg_payment - drg_payment, 2) if c["vbp"] else D(0)

    # 412.92, 412.108: hospital-specific rate
    specific = D(0)
    if c["type"] in ("14", "15", "16", "17", "21", "22") and D(c["hsp_rate"]):
        update = D(law["update"][kind]) * D(law["neutrality"][0]) * D(law["neutrality"][1])
        for factors in law["updates"]:
            for factor in factors:
                update *= D(factor)
        own = half_up(D(c["hsp_rate"]) * half_up(update, 5) * weight * covid * free, 9)
        national = half_up(base * adjusted * covid * free * (1 + ime + dsh / 4) + outlier, 9)
        if own > national + ucp:
            specific = half_up(own - national - ucp, 9)
            specific = half_up(specific * D("0.75"), 9) if c["type"] in ("14", "15") else specific
    specific2 = half_up(specific, 2)

    # sums
    capital2 = D(0) if c["new_capital"] else half_up(capital, 2)
    capital_dsh2, capital_ime2 = half_up(capital2 * capital_dsh, 2), half_up(capital2 * capital_ime, 2)
    outlier2, capital_outlier2 = half_up(outlier, 2), half_up(capital_outlier, 2)
    together = capital2 + capital_dsh2 + capital_ime2 + capital_outlier2
    everything = specific2 + federal2 + ime2 + dsh2 + outlier2 + together + ucp + ntap
    volume = half_up(everything * D(c["volume"]), 2)
    through = half_up(D(c["through"]) * c["los"], 2) if c["plan"] else D(0)
    if c["plan"]:
        everything -= ime2
        ime2 = D(0)
    subtotal = everything + volume + hrr + vbp
    hac = half_up(subtotal * D("-0.01"), 2) if c["hac"] else D(0)
    islets = {0: D(0), 1: D(18848)}.get(c["islets"], D(37696))
    return {
        "operating_federal_usd": federal2,
        "hospital_specific_usd": specific2,
        "ime_usd": ime2,
        "dsh_usd": dsh2,
        "uncompensated_care_usd": ucp,
        "operating_outlier_usd": outlier2,
        "new_technology_usd": ntap,
        "islet_usd": islets,
        "capital_federal_usd": capital2,
        "capital_ime_usd": capital_ime2,
        "capital_dsh_usd": capital_dsh2,
        "capital_outlier_usd": capital_outlier2,
        "low_volume_usd": volume,
        "readmissions_usd": hrr,
        "value_based_usd": vbp,
        "hac_usd": hac,
        "pass_through_usd": through,
        "total_usd": subtotal + hac + through + islets,
    }
