"""WeChat: the API's client, with one retry loop and one token shared by all threads.

`client` is the entry point. `transport` sends bytes and limits their size (`deadline` limits their time), `answers`
interprets them, `retry` decides whether to try again, `tokens` keeps the token. Add here what every call of the API
needs; nothing here knows Dagster, the warehouse or the planning of calls. Source: WeChat's pages on access tokens
(获取稳定版接口调用凭据) and data interfaces (数据统计接口), and live answers that users published.
"""

from wx_datacube.wechat.answers import Answer
from wx_datacube.wechat.client import QUOTA_CALL, Client, Journal, Quota
from wx_datacube.wechat.retry import Limits

__all__ = ["QUOTA_CALL", "Answer", "Client", "Journal", "Limits", "Quota"]
