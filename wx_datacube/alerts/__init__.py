"""Alerts: what needs a person's attention, stored beside the database and sent to a group chat.

`alert` defines alerts and which errors cause them, `attention` decides which missing labels need a person, `store`
keeps open alerts and sends them. An alert is sent once until it is resolved. Fetching raises alerts; nothing here
fetches.
"""
