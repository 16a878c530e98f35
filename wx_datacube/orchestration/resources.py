"""Resources: an account's credentials as Dagster environment variables, and the published file for readers.

Add a field here when a run needs a setting of the account that must not be stored with the code location, as a plain
string would be. All other settings are read and checked when a run starts. See
https://docs.dagster.io/guides/build/external-resources.
"""

import functools
from dataclasses import replace
from pathlib import Path

import dagster as dg
from dagster_duckdb import DuckDBResource

from wx_datacube.config.environment import process_environment
from wx_datacube.config.settings import Account, Secret, Settings
from wx_datacube.ingest.service import Ingest
from wx_datacube.warehouse.connections import READ_ONLY


class WeChatAccount(dg.ConfigurableResource[None]):
    """One Official Account. Credentials may be missing: they are needed only when a call is due.

    Give `appid`, `secret` and `token_url` as `dg.EnvVar`. A field that is not given comes from the settings.
    """

    account: str
    appid: str | None = None
    secret: str | None = None
    token_url: str | None = None

    def ingest(self, settings: Settings) -> Ingest:
        """Return the ingestion for this account; missing credentials raise an error when the first call is due."""
        return Ingest.of(settings, self._account(settings))

    def _account(self, settings: Settings) -> Account:
        configured = settings.account(self.account)
        return replace(
            configured,
            appid=self.appid or configured.appid,
            secret=Secret(self.secret) if self.secret else configured.secret,
            token_url=Secret(self.token_url) if self.token_url else configured.token_url,
        )


def account_resource(account: str, settings: Settings | None) -> WeChatAccount:
    """Return the resource of a configured account, with a `dg.EnvVar` for each exported credential.

    A credential that only our `.env` holds comes from the settings: Dagster reads only the `.env` of the current
    folder.
    """
    known = [each for each in settings.accounts if each.name == account] if settings else []
    exported, found = process_environment(), []
    for each in known:
        for field in ("appid", "secret", "token_url"):
            name, value = each.variable(field.upper()), getattr(each, field)
            held = value.reveal() if isinstance(value, Secret) else value
            if held and exported.get(name, "").strip() == held:
                found.append((field, name))
    return _account_resource(account, tuple(found))


@functools.cache  # Dagster merges definitions that share a resource only if it is the same object
def _account_resource(account: str, variables: tuple[tuple[str, str], ...]) -> WeChatAccount:
    return WeChatAccount(account=account, **{field: dg.EnvVar(name) for field, name in variables})


@functools.cache
def reading_resource(database: Path) -> DuckDBResource:
    """Return the resource that opens the published file read-only, for downstream assets.

    It never waits for a run, and no run waits for it.
    """
    return DuckDBResource(database=str(database), connection_config=dict(READ_ONLY))
