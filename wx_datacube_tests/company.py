"""A company: several accounts of an emulated WeChat behind one address, and a project configured for all of them.

Add here what several tests ask of accounts that live side by side. Each account has its own AppID, tokens, quotas,
faults and journal; a call goes to the one whose AppID or token it carries, as at WeChat.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wx_datacube.emulator.account import Account, Reply, Request
from wx_datacube.emulator.errcodes import Refusal
from wx_datacube.emulator.options import Options
from wx_datacube.emulator.server import serving


class _Everybody(Account):
    """All accounts of the company, told apart by what a call carries."""

    def __init__(self, members: dict[str, Account]) -> None:
        super().__init__(Options())
        self._members = members

    def handle(self, call: str, request: Request) -> Reply:
        """The answer of the account that is meant; an AppID or token of nobody gets that of the first one."""
        meant = (member for member in self._members.values() if self._is_meant(member, request))
        return next(meant, next(iter(self._members.values()))).handle(call, request)

    def _is_meant(self, member: Account, request: Request) -> bool:
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
    """The accounts by name, and where they are."""

    api_url: str
    members: dict[str, Account]

    def settings(self, **more: object) -> dict[str, object]:
        """`WX_DATACUBE_*` without the prefix for all accounts; `more` come on top."""
        found: dict[str, object] = {"API_URL": self.api_url, "ACCOUNTS": ",".join(self.members)}
        for name, member in self.members.items():
            found[f"{name.upper()}_APPID"] = member.options.appid
            found[f"{name.upper()}_SECRET"] = member.options.secret
        return found | more

    def calls(self, name: str) -> int:
        """How many statistics calls of an account came in."""
        return sum(call.endpoint.startswith("getupstreammsg") for call in self.members[name].journal.calls)


@contextmanager
def company(*names: str, **options: object) -> Iterator[Company]:
    """Accounts of these names, each with a world of its own; `options` are the emulator's, for all."""
    members = {
        name: Account(Options().changed({"appid": f"wx{number:016x}", "seed": number} | options))
        for number, name in enumerate(names, 1)
    }
    with serving(_Everybody(members)) as api_url:
        yield Company(api_url, members)
