"""Orchestration: the Dagster layer, which can be read alone. Keys in, metadata, checks and events out.

`assets` is the factory, `partitions`, `resources`, `checks` and `schedules` what it is made of, `todo` decides what is
left to do, `runs` looks after runs, and `event_log` makes long ranges fast. No call, row or window is handled here.
"""
