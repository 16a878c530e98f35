"""Warehouse: the DuckDB files, their tables, and everything that reads or writes them in SQL.

`files` opens the database, `publication` publishes it, `schema` defines the tables, `ledger` and `load` fill them,
`coverage`, `past_calls` and `checks` query them. Add here what reads or writes the database. Nothing here calls WeChat
or imports Dagster.
"""
