"""Names: what people call the metrics, message types, channels, sources and endpoints of the views, in both languages.

Add a name here when WeChat adds a code. Chinese names are those of WeChat's own console. Codes without a name keep
their number or WeChat's own word.
"""

import re
from collections.abc import Mapping

from wx_datacube.catalog.articles import SCENE_DESC
from wx_datacube.catalog.followers import ARTICLE_CHANNEL, CHANNEL, CHANNELS_IN_CHINESE
from wx_datacube.catalog.metrics import METRIC_BY_NAME
from wx_datacube.catalog.model import Family
from wx_datacube.language import Text

FAMILIES = {
    Family.MESSAGES: Text("messages", "消息"),
    Family.FOLLOWERS: Text("followers", "用户"),
    Family.ARTICLES: Text("articles", "内容"),
    Family.INTERFACE: Text("interface", "接口"),
}
MESSAGE_TYPES = {
    "text": Text("text", "文字"),
    "image": Text("image", "图片"),
    "voice": Text("voice", "语音"),
    "video": Text("video", "视频"),
    "link": Text("link", "链接"),
}
INTERVALS = {
    "1-5": Text("1-5", "1-5次"),
    "6-10": Text("6-10", "6-10次"),
    "more than 10": Text("more than 10", "10次以上"),
}
CHANNELS = {
    word: Text("account name in an article" if code == ARTICLE_CHANNEL else word, CHANNELS_IN_CHINESE[code])
    for code, word in CHANNEL.codes
}
SOURCES = {word: Text(word, str(code)) for code, word in SCENE_DESC.codes}
ENDPOINTS = {
    "getupstreammsg": Text("Messages by day", "消息日报"),
    "getupstreammsghour": Text("Messages by hour", "消息小时报"),
    "getupstreammsgweek": Text("Messages by week", "消息周报"),
    "getupstreammsgmonth": Text("Messages by month", "消息月报"),
    "getupstreammsgdist": Text("Senders by day", "消息发送分布日报"),
    "getupstreammsgdistweek": Text("Senders by week", "消息发送分布周报"),
    "getupstreammsgdistmonth": Text("Senders by month", "消息发送分布月报"),
    "getusersummary": Text("New and lost followers", "用户增减"),
    "getusercumulate": Text("Followers", "累积用户"),
    "getbizsummary": Text("Reading by day", "内容概况"),
    "getarticleread": Text("Readers of articles", "文章阅读"),
    "getarticleshare": Text("Sharers of articles", "文章分享"),
    "getarticletotaldetail": Text("Published articles", "已发表文章"),
    "getinterfacesummary": Text("Interface by day", "接口日报"),
    "getinterfacesummaryhour": Text("Interface by hour", "接口小时报"),
}


def name_of(names: Mapping[str, Text], word: str) -> Text:
    """Return the name of a word of the views; a word that WeChat has added, `other (N)`, keeps its code."""
    code = word.removeprefix("other (").removesuffix(")")
    return names.get(word) or Text("other ({code})", "其他（{code}）", code=code)


_METRICS = {
    "calls": Text("Calls of your server", "接口调用次数"),
    "failures": Text("Failed calls of your server", "接口调用失败次数"),
    "failure_rate": Text("Failure rate", "接口失败率"),
    "mean_ms": Text("Mean time (ms)", "平均耗时（毫秒）"),
    "max_ms": Text("Longest time (ms)", "最大耗时（毫秒）"),
    "share_rate": Text("Share rate", "分享率"),
}
"""Names that the dictionary's meaning doesn't give in few words."""


def metric_name(name: str) -> Text:
    """Return the name of a metric: in Chinese, the dictionary's meaning without its remarks."""
    return _METRICS.get(name) or Text(
        name.replace("_", " ").capitalize(), re.split("[（。，]", METRIC_BY_NAME[name].description_zh)[0]
    )
