"""WeChat: one attempt, one retry loop, one token for all threads.

`client` is what others use; `transport` moves bytes (`guard` bounds their time, `body` their size), `answers` says what
they mean, `retry` whether to ask again, `tokens` keeps the token. Add here what every call of the API needs; nothing
here knows Dagster, the warehouse, or how labels become calls. Source: WeChat's pages on access tokens
(获取稳定版接口调用凭据) and data interfaces (数据统计接口), and live answers that users published.
"""

from wx_datacube.wechat.answers import Attempt
from wx_datacube.wechat.client import QUOTA_CALL, Client, Journal, Quota
from wx_datacube.wechat.retry import Limits

__all__ = ["QUOTA_CALL", "Attempt", "Client", "Journal", "Limits", "Quota"]
