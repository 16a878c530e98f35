"""Digest: yesterday's figures of the accounts as a short text for a group chat, sent at most once a day.

`figures` reads what a digest says, `lines` puts it into words (`words` has the texts), `messages` lays the accounts out
within a chat's limit, and `sending` posts them. Nothing here knows Dagster.
"""
