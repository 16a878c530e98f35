"""Ingest: fetch missing labels and store their figures, without Dagster.

`service` is the entry point. `plan` decides which labels to request, `windows` covers them with the fewest calls,
`fetch` and `pool` make the calls and store the answers, and `fetch_report` gives the outcome of each label. Scheduling
and printing belong to the layers above.
"""
