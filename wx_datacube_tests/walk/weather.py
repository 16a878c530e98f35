"""Weather: how WeChat behaves until it changes, as data.

Add an entry to `WEATHERS`: options of the emulator, faults, and what may be expected of the program meanwhile.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from wx_datacube.catalog.messages import HOURLY_MESSAGES
from wx_datacube.catalog.model import Family
from wx_datacube.emulator.faults import Fault
from wx_datacube_tests.walk.life import Life

Drawn = dict[str, Any]


@dataclass(frozen=True)
class Weather:
    """How WeChat behaves until it changes: options of the emulator and faults.

    `lies`: it gives wrong answers, about these families. `adds_rows`: they have rows that aren't true. `heals`: the
    number of mornings after which no label is overdue nevertheless; None if that isn't guaranteed.
    """

    name: str
    weight: int = 1
    options: Drawn = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    lies: tuple[Family, ...] = ()
    adds_rows: bool = False
    heals: int | None = None


_ALL = tuple(Family)
CLEAR = Weather("clear", 8, heals=1)
WEATHERS = (
    CLEAR,
    Weather("late, refused until 11:00", 2, {"publish_at": "11:00", "refuse_unpublished": True}, heals=1),
    Weather("late, empty until 11:00", 2, {"publish_at": "11:00"}, heals=1),
    Weather("late, refused until 14:00", 2, {"publish_at": "14:00", "refuse_unpublished": True}),
    Weather("late, empty until 14:00", 2, {"publish_at": "14:00"}, lies=_ALL),
    Weather("silent until midnight", 1, {"publish_at": "23:59"}, lies=_ALL),
    Weather("delayed until noon", 2, {"delay_until": "12:00"}, heals=1),
    Weather("late until 11:00, delayed until noon", 1, {"publish_at": "11:00", "delay_until": "12:00"}, heals=1),
    Weather("delayed until 14:00", 2, {"delay_until": "14:00", "delay_as_text": True}),
    Weather("always delayed", 1, {"delayed": True}),
    Weather("partial", 2, {"partial": True}, lies=_ALL, heals=3),
    Weather("one label a call", 1, {"one_label": True}, heals=2),
    Weather("a week of reading a call", 1, {"longest_span": ["getbizsummary=7"]}, heals=2),
    Weather("a day of reading a call", 1, {"longest_span": ["getbizsummary=1"]}, heals=2),
    Weather("rows outside the window", 1, {"stray_rows": True}, lies=_ALL),
    Weather("unknown codes", 1, {"unknown_codes": True}, lies=(Family.FOLLOWERS, Family.ARTICLES), adds_rows=True),
    Weather("down", 2, faults=("all=drop",)),
    Weather("busy", 2, faults=("*=-1",)),
    Weather("one in five fails, one in five is slow", 2, faults=("*@0.2=502", "*@0.2=delay:0.5"), heals=2),
    Weather("tokens are refused", 1, {"secret_frozen": True}),
    Weather("this address is not allowed", 1, {"whitelist": ["198.51.100.7"]}),
    Weather("hours are not granted", 1, {"denied": [HOURLY_MESSAGES.name]}),
    Weather("articles are not granted", 1, {"denied": ["articles"]}),
    Weather("followers and interface are not granted", 1, {"denied": ["followers", "interface"]}),
    Weather("nothing is granted", 1, {"denied": ["*"]}),
    Weather("three calls a day", 1, {"quota": 3}),
    Weather("no calls left", 1, {"quota": 0}),
)
_ORDINARY: Drawn = {name: None for weather in WEATHERS for name in weather.options}


def change(life: Life, member: str, weather: Weather) -> None:
    """Change the weather of an account."""
    life.take_ledger()
    faults = tuple(map(Fault.parse, weather.faults))
    life.emulated(member).configure({**_ORDINARY, **weather.options, "faults": faults})
    facts = life.facts[member]
    facts.lies_since = life.now if weather.lies else None
    facts.lies_about, facts.adds_rows = weather.lies, weather.adds_rows
    facts.heals, facts.weather_since = weather.heals, life.now


def drawn_weather(chance: random.Random) -> Drawn:
    """Draw an account, a weather, and how many mornings pass in it."""
    (weather,) = chance.choices(WEATHERS, [each.weight for each in WEATHERS])
    mornings = 0 if weather is CLEAR else chance.choice([0, 0, 0, 1, 3, 7])
    return {"member": chance.randrange(2), "weather": weather.name, "mornings": mornings}
