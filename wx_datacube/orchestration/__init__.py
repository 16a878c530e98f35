"""Orchestration: the Dagster layer, which can be read alone.

`code_location` builds the definitions from `assets` (the asset factory), `partitions`, `resources`, `checks` and
`schedules`. `operations.pending` decides what is left to do, `runs` tags runs and ends dead ones, and `event_log` makes
long ranges fast. Partition keys come in; metadata, check results and events go out. Calls, windows and rows are handled
in the core, not here.
"""
