"""Warehouse: the DuckDB files, their tables, and everything that reads or writes them in SQL.

`files` owns the connections, `schema` makes the tables, `ledger` and `load` fill them, `coverage` and `checks` answer
questions. Nothing here calls WeChat or knows Dagster.
"""
