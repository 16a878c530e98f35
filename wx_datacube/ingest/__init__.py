"""Ingest: fetch missing labels and store their figures, without Dagster.

`windows` plans the fewest calls, `pool` runs them in parallel, `service` decides which labels to request, stores the
answers and reports the state of each label. Scheduling and printing belong to the layers above.
"""
