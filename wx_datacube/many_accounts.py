"""Many accounts: the code location of `wx_datacube.definitions`, with one schedule for all accounts.

For a project folder with some thirty accounts or more: name this module in `workspace.yaml`. See
docs/how-to/machines.md.
"""

import functools

import dagster as dg

from wx_datacube.definitions import build_location


@dg.definitions
@functools.cache  # Dagster calls it twice when it loads the location
def defs() -> dg.Definitions:
    """Return every configured account, and one schedule that fetches, one that checks and one that sends digests."""
    return build_location("location")
