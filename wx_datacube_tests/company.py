"""Several accounts of the emulated WeChat behind one address, and the settings of a project for all of them.

Add a helper here when several tests need it for more than one account. Each account has its own AppID, tokens, quotas,
faults and journal. As at WeChat, the AppID or token of a call determines its account.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wx_datacube.emulator.account import EmulatedAccount, Reply, Request
from wx_datacube.emulator.errcodes import Refusal
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.server import serving


class _Everybody(EmulatedAccount):
    """All accounts of the company behind one server; the AppID or token of a call selects the account."""

    def __init__(self, members: dict[str, EmulatedAccount]) -> None:
        super().__init__(Options())
        self._members = members

    def handle(self, call: str, request: Request) -> Reply:
        """Return the selected account's reply; the first account handles an unknown AppID or token."""
        meant = (member for member in self._members.values() if self._is_meant(member, request))
        return next(meant, next(iter(self._members.values()))).handle(call, request)

    def _is_meant(self, member: EmulatedAccount, request: Request) -> bool:
        token = request.query.get("access_token")
        if token is None:
            return json.loads(request.body).get("appid") == member.options.appid
        try:
            member.tokens.check(token, member.clock())
        except Refusal:
            return False
        return True


@dataclass(frozen=True)
class Company:
    """The accounts by name, and the address of their server."""

    api_url: str
    members: dict[str, EmulatedAccount]

    def settings(self, **more: object) -> dict[str, object]:
        """Return the settings of all accounts, without the prefix `WX_DATACUBE_`; `more` adds or replaces settings."""
        found: dict[str, object] = {"API_URL": self.api_url, "ACCOUNTS": ",".join(self.members)}
        for name, member in self.members.items():
            found[f"{name.upper()}_APPID"] = member.options.appid
            found[f"{name.upper()}_SECRET"] = member.options.secret
        return found | more

    def calls(self, name: str) -> int:
        """Return how many statistics calls an account received."""
        return sum(call.endpoint.startswith("getupstreammsg") for call in self.members[name].journal.calls)


@contextmanager
def company(*names: str, **options: object) -> Iterator[Company]:
    """Serve accounts with these names, each with its own world; the emulator's `options` apply to all of them."""
    members = {
        name: EmulatedAccount(Options().changed({"appid": f"wx{number:016x}", "seed": number} | options))
        for number, name in enumerate(names, 1)
    }
    with serving(_Everybody(members)) as api_url:
        yield Company(api_url, members)
