"""Claims with code changes, grouped and priced again; only what changed is computed.

Its modules:

    code_changes     what changes in a claim, and claims with the changes made
    visible_changes  which changes the formulas can read
    price_texts      codes whose text decides a price
    contract_bills   admissions that contracts of payers price
    repricer         admissions priced once, ready to be priced again
    baseline         admissions as correctly coded; rebill()
    billed_claims    admissions with the changes that were made
    shapley          dollars attributed to the changes
    bill_edits       which errors make CMS return a bill
    claim_conversion  admissions in the codes of another version
"""
