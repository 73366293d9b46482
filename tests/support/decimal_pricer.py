"""A pricer in `decimal`, one stay at a time, with which the pricer is compared in results and speed.

It comes from the author of the pricer and from the same statement of the rule. So it proves the arithmetic of
`drgsim.pricing.pricer`; that the rule is read correctly is proved by the vectors of CMS's own program. The two share
only the rates. Columns are those of STAYS and HOSPITALS; every value is a Decimal, str, int, bool or None.
"""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext

D = Decimal
PLACES = {n: Decimal(1).scaleb(-n) for n in range(12)}


def rnd(value, places):
    return value.quantize(PLACES[places], ROUND_HALF_UP)


def variant(row):
    return {
        (True, False): "full",
        (False, False): "no_quality_data",
        (True, True): "ehr_reduction",
        (False, True): "no_quality_data_and_ehr_reduction",
    }[row["quality_reported"], row["ehr_reduction"]]


def price_one(row, rates):
    with localcontext() as context:
        context.prec = 60
        return _price_one(row, rates)


def _price_one(row, rates):
    def rate(name):
        return D(str(rates[name]))

    wi = row["wage_index"]
    area, own = ("above_1" if wi > 1 else "up_to_1"), variant(row)
    labor, nonlabor = rate(f"operating.labor.{area}.{own}"), rate(f"operating.nonlabor.{area}.{own}")
    cola = row["cola"] if row["ccn_state"] in rates["operating.cola_states"] else D(1)
    covid = rate("case.covid_factor") if row["covid"] else D(1)
    free = rate("case.no_cost_factor") if row["no_cost_product"] else D(1)
    weight, gmlos = row["weight"], row["gmlos_days"]
    standard = labor * wi + nonlabor * cola
    fsp = rnd(standard * weight * covid * free, 9)

    # disproportionate share
    dpp = rnd(row["ssi_ratio"] + row["medicaid_ratio"], 4)
    kind, beds, rural = row["provider_type"], row["beds"], row["cbsa_size"] == "R"
    dsh = D(0)
    low, high = ([rate(f"operating.dsh_{end}.{part}") for part in ("from", "slope", "base")] for end in ("low", "high"))
    if dpp >= min(low[0], high[0]):
        start, slope, base = high if dpp >= high[0] else low
        dsh = (dpp - start) * slope + base
        dsh = rnd(dsh, 4)
        capped = beds < rates[
            "operating.dsh_uncapped_beds.rural" if rural else "operating.dsh_uncapped_beds.urban"
        ] or (rural and kind in ("16", "17", "21", "22"))
        if capped and kind not in ("07", "14", "15", "17", "22"):
            dsh = min(dsh, rate("operating.dsh_cap"))
    empirical = rate("operating.dsh_empirical_share")
    raised = (1 + row["resident_to_bed_ratio"]) ** rate("operating.ime_exponent")
    ime = rnd(rate("operating.ime_multiplier") * (raised - 1), 9)

    # transfers
    days = D(max(row["los_days"], 1) + 1)
    review = row["review_code"]
    moved = review in (9, 11) and row["post_acute"]
    half, per_diem = moved and row["special_pay"], review in (3, 6) or (moved and not row["special_pay"])
    short, exempt = days < gmlos, row["drg"] in rates["transfer.exempt_drgs"]
    fraction, weighted = D(1), weight
    if short and per_diem:
        fraction = rnd(days / gmlos, 4)
        weighted = rnd(fraction * weight, 4)
    if short and half:
        fraction = rnd(D(".5") + D(".5") * days / gmlos, 4)
        # The program cuts the quotient off: an exact half of the product falls below it.
        cut = (D(".5") * days / gmlos).quantize(PLACES[9], ROUND_DOWN)
        weighted = rnd((D(".5") + cut) * weight, 4)
    paid = D(1) if exempt else fraction

    # capital
    gaf = rnd(wi ** rate("capital.gaf_exponent"), 4)
    federal = rnd(rate("capital.federal_rate") * gaf, 2)
    ccola = rnd(rate("capital.cola_share") * (cola - 1) + 1, 3)
    cfsp = rnd(weight * federal * ccola * free, 9)
    if paid < 1:
        fsp, cfsp = rnd(fsp * paid, 9), rnd(cfsp * paid, 9)
    urban = row["geographic_urban"] if rates["capital.dsh_by_geography"] else not rural
    e = rate("capital.e")
    cdsh = rnd(e ** (rate("capital.dsh_slope") * (row["ssi_ratio"] + row["medicaid_ratio"])) - 1, 4)
    cdsh = cdsh if urban and beds >= rates["capital.dsh_beds"] else D(0)
    residents = min(row["capital_ime_ratio"], rate("capital.ime_ratio_cap"))
    cime = rnd(e ** (rate("capital.ime_slope") * residents) - 1, 9)

    # new technology
    ucp, charges, occr, cccr = (
        row[n] for n in ("uncompensated_care_usd", "covered_charges_usd", "operating_ccr", "capital_ccr")
    )
    p_fsp = rnd(fsp, 2)
    p_dsh, p_ime = rnd(p_fsp * dsh * empirical, 2), rnd(p_fsp * ime, 2)
    base, cost, ntap = rnd(p_fsp + p_dsh + p_ime + ucp, 2), rnd(charges * occr, 9), D(0)
    for most, share in zip(row["ntap_max_usd"] or (), row["ntap_share"] or (), strict=True):
        lesser = rnd((charges * occr - base) * share, 2)
        ntap += min(most, lesser) if lesser > 0 else 0
    if base + ntap > cost and rnd(cost - base, 2) > 0:
        ntap = rnd(cost - base, 2)
    obdp = rnd(fsp + ntap, 2)

    # outlier
    new = row["new_capital_hospital"]

    def outlier(occr):
        both = occr + cccr
        osh, csh = (rnd(occr / both, 9), rnd(cccr / both, 9)) if both else (D(0), D(0))
        loss = rate("outlier.fixed_loss")
        if short and (review == 3 or (review == 9 and moved)):
            loss = rnd(loss * fraction, 2)
        share = rate(f"outlier.labor_share_{area}")
        odt = rnd((loss * share * wi + loss * (1 - share) * cola) * osh, 9)
        cdt = rnd(loss * gaf * csh * ccola, 9)
        oco = rnd(fsp * (1 + ime) + fsp * dsh * empirical + odt + ucp + ntap, 9)
        cco = D(0) if new else rnd(cfsp * (1 + cime + cdsh) + cdt, 9)
        ocost, ccost = rnd(charges * occr, 9), rnd(charges * cccr, 9)
        burn = row["drg"] in rates["outlier.burn_drgs"]
        marginal = rate("outlier.marginal_cost_burn" if burn else "outlier.marginal_cost")
        opart = rnd(marginal * (ocost - oco), 9) if ocost > oco else D(0)
        cpart = rnd(marginal * (ccost - cco), 9) if ccost > cco and not new else D(0)
        if ocost + ccost < oco + cco or review in (6, 7, 11):
            return D(0), D(0)
        return opart, cpart

    opart, cpart = outlier(occr)
    is_outlier = opart + cpart > 0
    code = 2 if is_outlier else 0
    if short and not exempt:
        code = {3: 3, 6: 6}.get(review, 10 if half else 12 if per_diem else code)
    if review == 3 and is_outlier:
        code = 5
    if not short and code in (0, 2):
        code += 14
    if code in (0, 3, 10, 12, 14) and sum(outlier(occr + rate("outlier.reconciliation_step"))) > 0:
        code += 30
    covered = row["los_days"] if row["covered_days"] is None else row["covered_days"]
    if is_outlier and covered < row["los_days"]:
        return {"pay_code": 67, "total_usd": D(0)}

    # quality programs, hospital-specific rate, roll-up
    in_hrr = row.get("hrr_participant", "1") == "1" and row["hrr_factor"] is not None
    in_vbp = row.get("vbp_participant", "Y") == "Y" and row["vbp_factor"] is not None
    hrr = rnd(row["hrr_factor"] * obdp - obdp, 2) if in_hrr else D(0)
    vbp = rnd(row["vbp_factor"] * obdp - obdp, 2) if in_vbp else D(0)
    hsp = D(0)
    if kind in ("14", "15", "16", "17", "21", "22"):
        update = rates.hospital_specific_update(own)
        hr = rnd(row["hospital_specific_rate_usd"] * update * weight * covid * free, 9)
        fr = rnd(standard * weighted * covid * free * (1 + ime + dsh * empirical) + opart, 9)
        hsp = max(hr - fr - ucp, D(0))
        hsp = rnd(rnd(hsp * rate("hospital_specific.dependent_share"), 9) if kind in ("14", "15") else hsp, 2)
    p_out, c_fsp = rnd(opart, 2), D(0) if new else rnd(cfsp, 2)
    c_dsh, c_ime, c_out = rnd(c_fsp * cdsh, 2), rnd(c_fsp * cime, 2), rnd(cpart, 2)
    capital = c_fsp + c_dsh + c_ime + c_out
    volume = row["low_volume_factor"] if row.get("low_volume_indicator", "Y") == "Y" else D(0)
    low = rnd((hsp + p_fsp + p_ime + p_dsh + p_out + capital + ucp + ntap) * volume, 2)
    through = D(0)
    if row["medicare_advantage"]:
        p_ime = D(0)
        net = row["pass_through_usd"] - row["organ_acquisition_usd"] - row["direct_education_usd"]
        through = rnd(net * row["los_days"], 2)
    sub = hsp + p_fsp + p_ime + p_dsh + p_out + capital + ucp + ntap + low + hrr + vbp
    hac = rnd(-sub * rate("adjustments.hac_reduction"), 2) if row["hac_reduction"] else D(0)
    return {
        "operating_federal_usd": p_fsp,
        "hospital_specific_usd": hsp,
        "ime_usd": p_ime,
        "dsh_usd": p_dsh,
        "uncompensated_care_usd": ucp,
        "operating_outlier_usd": p_out,
        "new_technology_usd": ntap,
        "capital_federal_usd": c_fsp,
        "capital_ime_usd": c_ime,
        "capital_dsh_usd": c_dsh,
        "capital_outlier_usd": c_out,
        "low_volume_usd": low,
        "readmissions_usd": hrr,
        "value_based_usd": vbp,
        "hac_usd": hac,
        "pass_through_usd": through,
        "total_usd": sub + through + hac,
        "pay_code": code,
    }
