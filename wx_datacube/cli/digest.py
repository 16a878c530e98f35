"""Digest: prints the digest of the accounts, or sends it to the group chat.

`operations.digest` makes and sends it; add here only what a person reads besides.
"""

import click

from wx_datacube.catalog.periods import beijing_now
from wx_datacube.cli.console import say
from wx_datacube.config.settings import Account, Settings
from wx_datacube.language import Language
from wx_datacube.operations.digest import words
from wx_datacube.operations.digest.sending import Outcome, make_messages, require_webhook, send_digests


def run_digest(settings: Settings, accounts: tuple[Account, ...], language: Language, *, send: bool) -> int:
    """Print the digest of the accounts, and send it if `send`; return the exit code."""
    if send:
        require_webhook(settings)
    if not settings.database.exists():
        say(words.NO_DATA, err=True)
        return 1
    if not send:
        click.echo("\n\n\n".join(each.text for each in make_messages(settings, accounts, language, beijing_now())))
        return 0
    outcome = send_digests(settings, accounts, language)
    for message in outcome.sent:
        click.echo(f"{message.text}\n")
    return _show_outcome(outcome)


def _show_outcome(outcome: Outcome) -> int:
    """Print which accounts were sent; return the exit code."""
    confirmed = outcome.sent[:-1] if outcome.failure and not outcome.unsent else outcome.sent
    names = [name for each in confirmed for name in each.accounts]
    for text, accounts in ((words.SENT_BEFORE, outcome.sent_before), (words.SENT, names)):
        if accounts:
            say(text.fill(accounts=words.listed(accounts)))
    if outcome.failure:
        failed, text = (outcome.unsent, words.UNSENT) if outcome.unsent else (outcome.sent[-1], words.FAILED)
        say(text.fill(accounts=words.listed(failed.accounts), why=outcome.failure), err=True)
    return 1 if outcome.failure else 0
