"""Alerts: what needs a person's attention, stored beside the database and sent to a group chat.

`store` keeps open alerts and sends them, `attention` decides which missing labels need a person, `webhook` formats
messages for each chat. An alert is sent once until it is resolved. Fetching raises alerts; nothing here fetches.
"""
