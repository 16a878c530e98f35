"""Articles: what the made-up account publishes, and how each article is read over its 30 days.

Add a figure of an article here. Every figure of an article is computed from its own random numbers and the day, without
the days before it. Cumulative figures never decrease. Nothing here knows endpoints; `reading` makes their rows.
"""

import base64
import datetime as dt
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from wx_datacube.catalog.articles import ARTICLES_START
from wx_datacube.emulator.people import People
from wx_datacube.emulator.seasons import table

DAYS_READ = 30
"""WeChat counts an article on the day of publishing and the 29 days after it."""

SCENES = ("公众号消息", "聊天会话", "朋友圈", "公众号主页", "其他", "推荐", "搜一搜")
_PER_MILLE_OF_SCENES = (1000, 180, 140, 80, 50, 300, 60)
"""Readers by scene of an average article whose followers are notified, per 1,000 who come from its message."""

ARTICLES_OF_A_WORKDAY = table({0: 15, 1: 45, 2: 20, 3: 12, 4: 8})
ARTICLES_OF_A_FREE_DAY = table({0: 55, 1: 35, 2: 10})
POPULARITY = table({5: 20, 8: 30, 10: 30, 15: 12, 25: 6, 40: 2})
PLACES = (100, 55, 40, 30)
"""Readers of the second to fourth article of a message, per 100 of the first."""

DECAY = bytes((255, 93, 40, 21, 14, 10, 8, 6, 5, 5, 4, 4, 3, 3, 3, *[2] * 8, *[1] * 7))
"""New readers of each day, in proportion."""

FIRST_MESSAGE = 2_247_483_650
_DAY = dt.timedelta(days=1)
_YEAR_2000 = dt.date(2000, 1, 1)
_WHOLE = 10_000

FIGURES = {
    "share_user": (15, 45),
    "zaikan_user": (3, 12),
    "like_user": (8, 30),
    "comment_count": (1, 9),
    "collection_user": (4, 20),
    "praise_money": (0, 3),
    "read_subscribe_user": (2, 12),
}
"""Lowest and highest share of an article's readers, per mille. For `praise_money`, the share that pays."""

TITLES = (
    "{month}月{day}日：本周上新，先睹为快",
    "如何把周末过成假期？看完这篇就够了",
    "“老客户”专享：限时 8 折 & 包邮",
    '他说："这杯咖啡，值了"',
    "🎉🎉 十周年！谢谢你一直都在 ❤️",
    "<b>重磅</b>：新门店开业，地址在文末",
    "一图看懂 <2026 新规>｜收藏备用",
    "\u200f‏قهوة\u200f 与长安：一条商路的故事",
    "后厨直播🧑‍🍳：一碗面的十二道工序",
    "读者来信 | 那些年我们追过的晚霞",
    "路径 C:\\图片\\新品 里藏着什么？",
    "【招聘】我们在找店长、烘焙师和数据分析师",
    "It's a match! 中秋礼盒配什么茶",
    "温馨提示：{month}月{day}日起营业时间调整",
    "50% 的人都选错了！牛奶怎么挑，老师傅的六条建议，最后一条最容易被忽略",
    "晚安。",
)


@dataclass(frozen=True, slots=True)
class Article:
    """A published article. `scenes` and `readers` have a number for each of its 30 days, cumulative.

    Nobody reads on the days that are not `active`. `recipients` is how many followers were notified, 0 if none were.
    `draws` are its random numbers below 2**16.
    """

    published: dt.date
    message: int
    index: int
    title: str
    url: str
    recipients: int
    active: tuple[bool, ...]
    scenes: tuple[tuple[int, ...], ...]
    readers: tuple[int, ...]
    draws: tuple[int, ...]

    @property
    def msgid(self) -> str:
        """The article's id in WeChat's format."""
        return f"{self.message}_{self.index}"

    def total(self, figure: str, day: int) -> int:
        """Return a figure of `FIGURES` from publishing to the end of day 0…29; 0 before. `praise_money` is in fen."""
        if day < 0:
            return 0
        place = list(FIGURES).index(figure)
        low, high = FIGURES[figure]
        share = low + self.draws[place] * (high - low + 1) // 2**16
        users = (self.readers[day] * share + self.draws[place + 8] * 1000 // 2**16) // 1000
        return users * (100 + 100 * (self.draws[16] % 20)) if figure == "praise_money" else users

    def growth(self, figure: str, day: int) -> int:
        """Return what day 0…29 adds to a figure."""
        return self.total(figure, day) - self.total(figure, day - 1)

    def visitors(self, day: int, returned: int = 0) -> tuple[tuple[int, ...], int]:
        """Return who read on day 0…29, new or not: users by scene, and distinct users.

        `returned` is a number of users who read again on the day, besides the usual ones.
        """
        if not self.active[day]:
            return (0,) * len(self.scenes), 0
        scenes = tuple(
            scene[day] - (scene[day - 1] - scene[day - 1] * 12 // 1000 // (day + 1) if day else 0)
            for scene in self.scenes
        )
        if any(scenes):
            scenes = (scenes[0] + returned, *scenes[1:])
        new = self.readers[day] - (self.readers[day - 1] if day else 0)
        return scenes, max(new, _distinct(scenes))

    def sharers(self, day: int, visitors: int, returned: int = 0) -> int:
        """Return how many of the day's visitors shared, new sharers or not."""
        again = self.total("share_user", day - 1) * 12 // 1000 // (day + 1)
        return min(visitors, self.growth("share_user", day) + again + returned)


class Articles:
    """The articles of one account, from its first day or from 2025-11-01 on."""

    def __init__(self, people: People) -> None:
        self._people = people
        self.begin = max(people.start, ARTICLES_START)
        self.published = lru_cache(1_000)(self._publish)

    def _publish(self, day: dt.date) -> tuple[Article, ...]:
        """Return the articles that are published on a day."""
        if day < self.begin or self._people.silent(day):
            return ()
        how_many = ARTICLES_OF_A_FREE_DAY if day.weekday() >= 5 else ARTICLES_OF_A_WORKDAY
        first, separate = self._people.noise(day, "articles", 2)
        number = how_many[first]
        alone = number if separate < 64 else 0  # the last one may be published apart, and nobody is notified
        places = [(0, place) for place in range(1, number + 1 - (alone > 0))] + [(1, 1)] * (alone > 0)
        return tuple(self._article(day, message, index) for message, index in places)

    def _article(self, day: dt.date, message: int, index: int) -> Article:
        noise = self._people.noise(day, f"article {message} {index}", 2 * 64 + 16)
        draws, number = struct.unpack("<64H", noise[:128]), FIRST_MESSAGE + 2 * (day - _YEAR_2000).days + message
        followers = self._people.joined((day - self._people.start).days) // 2
        # Between 4 and 12 per cent of the followers read an article of popularity 10 in the first place.
        readers = followers * (40 + draws[17] % 81) * POPULARITY[draws[18] % 256] * PLACES[index - 1] // 10**6
        active = tuple(not self._people.silent(day + age * _DAY) for age in range(DAYS_READ))
        scenes = _scenes(max(1, readers), draws, active, notified=not message)
        return Article(
            day,
            number,
            index,
            TITLES[draws[19] % len(TITLES)].format(month=day.month, day=day.day),
            f"https://mp.weixin.qq.com/s?__biz={self._biz()}&mid={number}&idx={index}&sn={noise[128:].hex()}#rd",
            0 if message else max(1, followers),
            active,
            scenes,
            tuple(map(_distinct, zip(*scenes, strict=True))),
            draws,
        )

    def _biz(self) -> str:
        return base64.b64encode(str(3_000_000_000 + self._people.seed % 900_000_000).encode()).decode()

    def read_on(self, day: dt.date) -> Iterator[tuple[Article, int]]:
        """Yield each article that is in its 30 days on a day, oldest first, and which of them it is, 0…29."""
        if day >= self.begin:
            for age in reversed(range(DAYS_READ)):
                for article in self.published(day - age * _DAY):
                    yield article, age

    def followers_gained(self, day: dt.date) -> int:
        """Return how many people began to follow on a day from within an article."""
        return sum(article.growth("read_subscribe_user", age) for article, age in self.read_on(day))


def _distinct(scenes: tuple[int, ...]) -> int:
    """Return how many distinct users there are among the users of the scenes: some come from several."""
    return (15 * max(scenes) + 85 * sum(scenes)) // 100


def _scenes(
    readers: int, draws: tuple[int, ...], active: tuple[bool, ...], notified: bool
) -> tuple[tuple[int, ...], ...]:
    """Return cumulative users by scene and day; at least one reads from the first scene on the first day."""
    chances = zip(DECAY, draws[34:], active, strict=True)
    reached = list(accumulate(weight * (700 + draw % 600) * awake for weight, draw, awake in chances))
    parts = [weight * _WHOLE // reached[-1] for weight in reached]
    scenes: list[tuple[int, ...]] = []
    for place, per_mille in enumerate(_PER_MILLE_OF_SCENES):
        varied = per_mille if place == 0 else per_mille * (30 + draws[20 + place] % 141) // 100
        share = varied if notified else 100 if place == 0 else 2 * varied if SCENES[place] == "推荐" else varied // 2
        size, rest = readers * share // 1000, draws[27 + place] * _WHOLE // 2**16
        if place == 0:
            size, rest = max(1, size), _WHOLE - 1
        scenes.append(tuple((size * part + rest) // _WHOLE for part in parts))
    return tuple(scenes)
