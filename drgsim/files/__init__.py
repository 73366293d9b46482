"""Files read within bounds, and written whole or not at all; frames of other libraries.

Its modules:

    bounded         limits on the size and nesting of files of unknown origin
    atomic          files that appear complete or not at all
    delimited_text  rows of delimited text, none of them lost
    memory          memory that is free, and the refusal of work that needs more
    text_tables     Parquet and delimited text, read within the same limits
    spreadsheets    Excel workbooks
    foreign_frames  pandas data frames, Arrow tables, lists of dicts
"""
