"""A contract's payment in `decimal`, one stay at a time, with which `price` is compared.

It reads the contract's TOML values, not the compiled contract; it shares Table 5 with the pricer.
"""

from decimal import ROUND_HALF_UP, Decimal

D = Decimal
CENT = D("0.01")


def cents(value):
    return value.quantize(CENT, ROUND_HALF_UP)


def matches(rule, drg, codes):
    if "case_rates_usd" in rule or "drgs" in rule:
        listed = rule.get("case_rates_usd", rule.get("drgs"))
        spans = [[int(end) for end in str(one).split("-")] for one in listed]
        if not any(span[0] <= drg <= span[-1] for span in spans):
            return False
    return "codes" not in rule or bool({code.replace(".", "").upper() for code in rule["codes"]} & codes)


def base_of(rule, stay, weight):
    if "base_rate_usd" in rule:
        return cents(D(str(rule["base_rate_usd"])) * weight)
    if "case_rate_usd" in rule:
        return D(str(rule["case_rate_usd"]))
    if "case_rates_usd" in rule:
        for key, usd in rule["case_rates_usd"].items():
            ends = [int(end) for end in key.split("-")]
            if ends[0] <= stay["drg"] <= ends[-1]:
                return D(str(usd))
    if "per_diem" in rule:
        days = stay["los_days"] or rule["same_day_days"]
        total = D(0)
        for day in range(1, days + 1):
            band = [one for one in rule["per_diem"] if one["from_day"] <= day][-1]
            total += D(str(band["usd"]))
        return total
    return cents(D(str(rule["share_of_charges"])) * stay["charges"])


def pay_one(contract, stay, table5):
    """Return rule, base, transfer, outlier, stop loss and lesser-of of one stay; None where DRG has no weight."""
    drg = stay["drg"]
    if drg not in table5:
        return None
    weight, gmlos = table5[drg]
    weight = D(str(contract["own_weights"][str(drg)])) if "own_weights" in contract else weight
    rule = next(rule for rule in contract["rules"] if matches(rule, drg, stay["codes"]))

    def term(name):
        one = contract[name]
        return None if one == "none" or rule["name"] not in one.get("rules", [rule["name"]]) else one

    base = base_of(rule, stay, weight)
    payment = base
    if (one := term("transfer")) and stay["discharge_status"] in one["statuses"]:
        days = max(stay["los_days"], 1) + one["extra_days"]
        if days < gmlos:
            payment = cents(base * days / gmlos)
    transfer = payment - base
    outlier = D(0)
    if one := term("outlier"):
        spent = stay["charges"]
        if one["basis"] == "cost":
            ratio = stay["ccr"] if one["cost_to_charge"] == "hospital" else D(str(one["cost_to_charge"]))
            spent = spent * ratio
        threshold = D(str(one["threshold_usd"])) + (payment if one["above_payment"] else 0)
        outlier = cents(max(spent - threshold, D(0)) * D(str(one["share"])))
    payment += outlier
    stop_loss = D(0)
    if (one := term("stop_loss")) and stay["charges"] > D(str(one["threshold_usd"])):
        share = D(str(one["share"]))
        if one["kind"] == "first_dollar":
            stop_loss = cents(share * stay["charges"]) - payment
        else:
            stop_loss = cents(share * (stay["charges"] - D(str(one["threshold_usd"]))))
    payment += stop_loss
    lesser_of = D(0)
    if one := term("lesser_of"):
        lesser_of = min(cents(D(str(one["share_of_charges"])) * stay["charges"]) - payment, D(0))
    return rule["name"], base, transfer, outlier, stop_loss, lesser_of
