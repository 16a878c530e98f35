"""Page: what a browser shows at `/`: credentials, clock, quota, the last calls, and commands to try.

Add a section here when users need to see more of the emulator's state. It is one page of plain HTML for light and
dark screens of any width. It has no script and loads nothing, and all text from outside is escaped. The page changes
nothing; that is what `control` is for.
"""

import datetime as dt
import json
import re
from collections.abc import Iterable
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from wx_datacube.catalog.endpoints import ENDPOINTS
from wx_datacube.catalog.model import Endpoint, Period
from wx_datacube.catalog.periods import due_on, label_of
from wx_datacube.emulator.account import EmulatedAccount
from wx_datacube.emulator.journal import JournalEntry

CALLS_SHOWN = 20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    "Cache-Control": "no-store",
}
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)
_DAY = dt.timedelta(days=1)

STYLE = """
:root { color-scheme: light dark; --ink: #1d2321; --soft: #5b6662; --line: #d9dfdc; --sheet: #fff; --ground: #f4f6f5;
  --green: #0a7a45; --wrong: #a8321f }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebe9; --soft: #9ba7a2; --line: #333c38; --sheet: #1b201e;
  --ground: #131715; --green: #4cc98a; --wrong: #ff9b85 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif }
main { max-width: 62rem; margin: auto; padding: 1.5rem 1rem 3rem }
h1 { margin: .5rem 0; font-size: 1.7rem; line-height: 1.2; text-wrap: balance }
h2 { margin: 0 0 .6rem; font-size: 1.1rem }
p { margin: 0 0 .6rem; max-width: 46rem; text-wrap: pretty }
p code { white-space: nowrap }
a { color: var(--green) }
section { margin-top: 1rem; padding: 1rem 1.2rem; background: var(--sheet); border: 1px solid var(--line);
  border-radius: .6rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0 }
dt, .soft { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
code, pre, td.code { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
pre { margin: .2rem 0 .9rem; padding: .6rem .7rem; background: var(--ground); border-radius: .4rem;
  white-space: pre-wrap; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { padding-bottom: .4rem; text-align: left; color: var(--soft) }
th, td { padding: .3rem .9rem .3rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top;
  font-weight: inherit; white-space: nowrap }
thead th, thead td { border: 0; color: var(--soft); font-size: .86rem }
.number { text-align: right }
meter { width: 7rem; vertical-align: middle }
.wrong { color: var(--wrong) }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem }
  section { padding: .9rem .8rem } meter { width: 4rem } }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Emulated WeChat datacube API</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>Emulated WeChat</h1>
<p>WeChat’s statistics API (<code>datacube</code>) with a made-up account behind it, served by
<code>wx-datacube emulator</code>. Nothing here is real and nothing is sent to WeChat; the secret below works only
here.</p>

<section aria-labelledby="account">
<h2 id="account">Account</h2>
<dl>{account}</dl>
</section>

<section aria-labelledby="clock">
<h2 id="clock">Clock</h2>
<dl>{clock}</dl>
</section>

<section aria-labelledby="quota">
<h2 id="quota">Quota</h2>
<div class="wide" role="region" aria-labelledby="quota" tabindex="0"><table>
<caption>Calls today (Beijing time); the quota resets at midnight.</caption>
<thead><tr><th scope="col">call</th><th scope="col" class="number">used</th>
<th scope="col" class="number">of</th><td></td></tr></thead>
<tbody>{quota}</tbody>
</table></div>
</section>

<section aria-labelledby="calls">
<h2 id="calls">Last calls</h2>
<div class="wide" role="region" aria-labelledby="calls" tabindex="0">{calls}</div>
</section>

<section aria-labelledby="try">
<h2 id="try">Try it</h2>
<p>First fetch a token, then call an endpoint; the dates are the newest that are published.</p>
{lines}
<p class="soft">Inspect and change the running emulator: <a href="/_emulator/state">state</a>,
<a href="/_emulator/options">options</a>, <a href="/_emulator/journal">journal</a>; <code>docs/emulator.md</code> lists
the controls. Reload this page to update it.</p>
</section>
</main>
</body>
</html>
"""


def page_of(account: EmulatedAccount, request: Request) -> Response:
    """Return the page for the current state."""
    now, options = account.clock(), account.options
    url = f"http://{_host_of(request)}"
    content = PAGE.format(
        style=STYLE,
        account=_list(
            {
                "API": url,
                "AppID": options.appid,
                "AppSecret": options.secret,
                "Size": f"{options.messages_per_day:,} messages per day, seed {options.seed}, since {options.start}",
            }
        ),
        clock=_list(
            {
                "Beijing time": f"{now:%Y-%m-%d %H:%M:%S}, {'frozen' if account.clock.frozen else 'running'}",
                "Yesterday’s figures": f"published at {options.publish_at:%H:%M}",
            }
        ),
        quota="\n".join(_quota(call, each["used"], each["limit"]) for call, each in account.limits().items()),
        # Copy the journal in one step: calls arrive while the page is rendered.
        calls=_calls(list(account.journal.calls)[: -CALLS_SHOWN - 1 : -1], len(account.journal.calls)),
        lines="\n".join(_lines(account, url, now)),
    )
    # Text from callers may contain lone surrogates, which UTF-8 can't encode.
    return Response(content.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=HEADERS)


def _host_of(request: Request) -> str:
    """Return the host name that the browser used, or the socket's address if the header is missing or malformed."""
    named = request.headers.get("host", "")
    if _HOST.fullmatch(named):
        return named
    host, port = request.scope["server"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _list(of: dict[str, str]) -> str:
    return "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(text)}</code></dd>" for name, text in of.items())


def _quota(call: str, used: int, limit: int) -> str:
    full = ' class="wrong"' if used >= limit else ""
    most = max(1, limit)
    meter = f'<meter aria-hidden="true" max="{most}" low="{most - 1}" high="{most - 1}" optimum="0" value="{used}">'
    return (
        f'<tr{full}><th scope="row"><code>{escape(call)}</code></th><td class="number">{used:,}</td>'
        f'<td class="number">{limit:,}</td><td>{meter}</meter></td></tr>'
    )


def _calls(newest: Iterable[JournalEntry], number: int) -> str:
    rows = "\n".join(map(_call, newest))
    if not rows:
        return '<p class="soft">None yet.</p>'
    names = "".join(f'<th scope="col">{name}</th>' for name in ("call", "answer", "days", "at", "fault"))
    caption = f"Newest first, of {number:,}."
    return f"<table><caption>{caption}</caption><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"


def _call(call: JournalEntry) -> str:
    answer = "none: closed" if call.status is None else f"status {call.status}" if call.status != 200 else "ok"
    answer = answer if call.errcode is None else f"errcode {call.errcode}"
    days = " to ".join(dict.fromkeys(day for day in (call.begin, call.end) if day is not None))
    texts = (call.endpoint, answer, days, f"{call.at:%m-%d %H:%M:%S}", call.fault or "")
    wrong = "" if answer == "ok" else ' class="wrong"'
    return f"<tr{wrong}>" + "".join(f'<td class="code">{escape(text[:100])}</td>' for text in texts) + "</tr>"


def _lines(account: EmulatedAccount, url: str, now: dt.datetime) -> Iterable[str]:
    options = account.options
    asked = {"grant_type": "client_credential", "appid": options.appid, "secret": options.secret}
    token = f"curl -s {url}/cgi-bin/stable_token -d '{_json(asked)}' | sed 's/.*\"access_token\":\"//; s/\".*//'"
    yield _line("A token", f"TOKEN=$({token})")
    for endpoint in ENDPOINTS:
        begin, end = (day.isoformat() for day in _newest_window(endpoint, now, options.publish_at))
        window = _json({"begin_date": begin, "end_date": end})
        yield _line(endpoint.en, f"curl -s \"{url}{endpoint.path}?access_token=$TOKEN\" -d '{window}'")


def _json(asked: dict[str, str]) -> str:
    return json.dumps(asked, separators=(",", ":"))


def _line(about: str, command: str) -> str:
    return f"<div>{escape(about)}</div><pre><code>{escape(command)}</code></pre>"


def _newest_window(endpoint: Endpoint, now: dt.datetime, publish_at: dt.time) -> tuple[dt.date, dt.date]:
    """Return the newest published window: one label, or for a daily endpoint as many days as a call may span."""
    label = label_of(now.date(), endpoint.period)
    while now < dt.datetime.combine(due_on(label, endpoint.period), publish_at):
        label = label_of(label - _DAY, endpoint.period)
    days = endpoint.max_span_days if endpoint.period is Period.DAY else 1
    return label - (days - 1) * _DAY, label
