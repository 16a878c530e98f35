"""Alerts: what needs a person's attention, stored beside the database and sent to a group chat.

`alert` defines alerts, and those that errors cause. `missing_labels` has those about missing labels. `store` keeps open
alerts and sends them, once until they are resolved. Fetching raises alerts; nothing here fetches.
"""
