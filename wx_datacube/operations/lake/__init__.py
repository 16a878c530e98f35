"""Lake: Parquet files in Hive layout, in a folder or in S3, for engines that can't open the DuckDB file.

`export` decides which files are written, `places` writes them, `views` makes the SQL that gives them names. Each
account's files are written by its own export alone, so several machines can write one lake.
"""
