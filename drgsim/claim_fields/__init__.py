"""What the fields of a claim mean: one set of rules for all layouts.

Its modules:

    source_files     text tables and JSON documents as they are in the file
    field_values     numbers, amounts, dates, sexes and other values as people write them
    code_cells       codes in a cell: several of them, with POA indicators, with signs around them
    bill_rules       bills that are no inpatient stay, or not final
    column_names     names of columns of codes as people have them
    code_lists       codes of stays to lists of diagnoses and procedures
    assembly         stays and codes, as text, to admissions
    column_mapping   which column of a file holds which field
    column_synonyms  names that people give to columns
    discharge_words  words for where a patient went after discharge
    hospital_files   read_hospitals(): hospitals as provider inputs
    mapping_report   what was read, changed, flagged and left out
"""
