"""Files read within bounds, and written whole or not at all.

Its modules:

    bounded      limits on the size and nesting of files of unknown origin
    atomic       files that appear complete or not at all
    memory       memory that is free, and the refusal of work that needs more
    text_tables  Parquet and delimited text, read within the same limits
"""
