"""Operations: the work of commands and schedules, without printing and without Dagster.

One module per operation: `backfill`, `status`, `doctor`, `export`, `accounts` (rename and remove), `tick` (what a
schedule requests), `demo`, `report`. `pending` decides which labels `backfill` and `tick` process. `cli` shows the
results; `orchestration` turns them into runs.
"""
