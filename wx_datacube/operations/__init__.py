"""Operations: what commands and schedules do, without printing and without Dagster.

A module per operation: `backfill`, `status`, `doctor`, `export`, `accounts` (rename and remove), `tick` (what a
schedule requests), `demo`, `report`. `cli` shows their results; `orchestration` turns them into runs.
"""
