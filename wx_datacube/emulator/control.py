"""Control: the calls under `/_emulator/…`, which inspect and change a running emulator.

Add a call here for an action (restate a day, revoke tokens). A setting is a field of `options` and needs no code
here. `testing.Control` is the client for these calls.
"""

import datetime as dt
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wx_datacube.catalog.endpoints import BY_NAME
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.options import FIRST_DAY, LAST_DAY

PREFIX = "/_emulator"
Act = Callable[[EmulatedAccount, dict[str, Any]], object]


def _state(account: EmulatedAccount, _asked: dict[str, Any]) -> object:
    journal = account.journal
    return {
        "now": account.clock().isoformat(),
        "frozen": account.clock.frozen,
        "calls": len(journal.calls),
        "in_flight": journal.in_flight,
        "most_in_flight": journal.most_in_flight,
        "limits": account.limits(),
    }


def _options(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    account.configure(asked)
    return account.options.as_json()


def _script(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    account.configure({"faults": (*account.options.faults, *asked["faults"])})
    return _state(account, {})


def _advance(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    by = dt.timedelta(seconds=float(asked["seconds"]))
    if not FIRST_DAY <= (account.clock() + by).date() <= LAST_DAY:
        raise ValueError(f"the clock goes from {FIRST_DAY} to {LAST_DAY}")
    account.clock.advance(by)
    return _state(account, {})


def _use_quota(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    if asked["endpoint"] not in account.limits():
        raise ValueError(f"no such endpoint: {asked['endpoint']}; there are {', '.join(BY_NAME)}")
    account.quotas.use(asked["endpoint"], account.clock(), int(asked["calls"]))
    return _state(account, {})


def _restate(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    day = dt.date.fromisoformat(asked["day"])
    factor, delta = asked.get("factor"), asked.get("delta")
    factor, delta = None if factor is None else float(factor), None if delta is None else int(delta)
    return {"messages": account.world.restate(day, factor, delta)}


def _revoke(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    account.tokens.revoke(account.clock(), bool(asked.get("sticky")))
    return _state(account, {})


def _journal(account: EmulatedAccount, asked: dict[str, Any]) -> object:
    endpoint = asked.get("endpoint")
    calls = list(account.journal.calls)[int(asked.get("since", 0)) :]
    return {"calls": [call.as_json() for call in calls if endpoint in (None, call.endpoint)]}


def _forget(account: EmulatedAccount, _asked: dict[str, Any]) -> object:
    account.journal.calls.clear()
    account.journal.most_in_flight = account.journal.in_flight
    return _state(account, {})


def _reset(account: EmulatedAccount, _asked: dict[str, Any]) -> object:
    account.reset()
    return _state(account, {})


ACTS: dict[tuple[str, str], Act] = {
    ("GET", "state"): _state,
    ("GET", "options"): lambda account, _: account.options.as_json(),
    ("POST", "options"): _options,
    ("POST", "script"): _script,
    ("POST", "advance"): _advance,
    ("POST", "use_quota"): _use_quota,
    ("POST", "restate"): _restate,
    ("POST", "revoke_tokens"): _revoke,
    ("GET", "journal"): _journal,
    ("DELETE", "journal"): _forget,
    ("POST", "reset"): _reset,
}
"""The function for every control call, by HTTP method and name."""


def control_routes(account: EmulatedAccount) -> list[Route]:
    """Return a route for every action.

    A wrong value is answered with status 400 and `{"error": …}`, and changes nothing.
    """
    return [
        Route(f"{PREFIX}/{name}", _endpoint(account, act), methods=[method]) for (method, name), act in ACTS.items()
    ]


def _endpoint(account: EmulatedAccount, act: Act) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            asked = await request.json() if await request.body() else dict(request.query_params)
            return _answer(act(account, asked))
        except KeyError as missing:
            return _answer({"error": f"missing: {missing.args[0]}"}, 400)
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            return _answer({"error": str(error)}, 400)

    return endpoint


def _answer(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")
