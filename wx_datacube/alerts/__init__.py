"""Alerts: what needs a person's attention, kept beside the database, and sent to a group chat.

`troubles` keeps open alerts and sends them, `attention` decides what needs a person, `webhook` formats messages for
each chat. An alert is sent once until it is resolved. Fetching raises alerts; nothing here fetches.
"""
