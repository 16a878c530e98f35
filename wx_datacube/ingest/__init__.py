"""Ingest: from the labels that are missing to stored figures, without Dagster.

`windows` plans the fewest calls, `pool` makes them side by side, `service` decides which labels to request, stores the
answers and reports what is there. Scheduling and printing belong to the layers above.
"""
