"""Articles: checks of what WeChat's pages say about article figures, and of how clients disagree about it.

Add a check here if one answer about articles shows that the catalog misunderstands a field. A new answer of WeChat
would say the same, so the remedy is to tell us. Checks that compare two endpoints are in `family_sums`.
"""

from wx_datacube.catalog.articles import ALL_SCENES, PUBLISHED_ARTICLES, SCENE_DESC
from wx_datacube.catalog.model import Endpoint, Relation
from wx_datacube.language import Text
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Remedy
from wx_datacube.warehouse.checks.family_sums import IS_DELAYED
from wx_datacube.warehouse.sql import names, quoted

_DAYS = f"{PUBLISHED_ARTICLES.name}__detail_list"
_POSITIONS = f"{_DAYS}__read_jump_position"

CUMULATIVE = ("read_user", "share_user", "read_subscribe_user")
"""Figures of an article that WeChat's page calls sums since publishing, and that no reader can take back.

Likes, saves, comments and rewards can be taken back.
"""
RATES = ((_DAYS, "read_delivery_rate"), (_DAYS, "read_finish_rate"), (_POSITIONS, "rate"))
"""Tables and columns of figures that WeChat's page calls shares from 0 to 1."""


def _decreases() -> str:
    """Return a SELECT of each article that has figures below those of the day before; it names the first of them."""
    before = ", ".join(f"lag({each}) OVER days AS {each}_before" for each in CUMULATIVE)
    fell = ", ".join(
        f"CASE WHEN {each} < {each}_before THEN '{each} ' || {each}_before || ' -> ' || {each} END"
        for each in CUMULATIVE
    )
    return f"""
WITH days AS (
    SELECT ref_date, msgid, stat_date, {", ".join(CUMULATIVE)}, {before}
    FROM datacube.{_DAYS} WHERE account = $account WINDOW days AS (PARTITION BY ref_date, msgid ORDER BY stat_date)
), decreases AS (
    SELECT ref_date, msgid, stat_date, list_filter([{fell}], lambda each: each IS NOT NULL) AS fallen FROM days
    WHERE {" OR ".join(f"{each} < {each}_before" for each in CUMULATIVE)}
), articles AS (
    SELECT ref_date, msgid, arg_min(fallen[1] || ' on ' || stat_date, stat_date) AS what, sum(len(fallen)) AS number
    FROM decreases GROUP BY ALL
)
SELECT ref_date::VARCHAR, msgid || ': ' || what || CASE WHEN number > 1 THEN ', and ' || (number - 1) || ' more' ELSE ''
    END, $endpoint, ref_date, ref_date, {IS_DELAYED.format(answer="answer")}
FROM articles JOIN datacube.label_answers AS answer
    ON answer.account = $account AND answer.endpoint = $endpoint AND answer.label = ref_date"""


def _scenes_of(endpoint: Endpoint) -> list[Relation]:
    return [table for table in endpoint.relations if SCENE_DESC in table.fields]


def _odd_scenes(table: Relation) -> str:
    """Return a SELECT of unknown scenes, and of totals over all scenes that differ from the row that they are part of.

    An article's days with different totals are one finding.
    """
    parent = table.parent
    assert parent is not None
    known, keys = ", ".join(quoted(code) for code, _ in SCENE_DESC.codes), names(parent.key)
    article = " || ' of ' || msgid" if any(key.name == "msgid" for key in parent.key) else ""
    return f"""
SELECT max(ref_date)::VARCHAR, 'scene_desc ' || scene_desc || ' in ' || count(*) || ' rows since ' || min(ref_date),
    $endpoint, min(ref_date), max(ref_date), false
FROM datacube.{table.name} WHERE account = $account AND scene_desc NOT IN ({known}) GROUP BY scene_desc
UNION ALL
SELECT ref_date::VARCHAR, first(what ORDER BY what) || CASE WHEN count(*) > 1
        THEN ', and ' || (count(*) - 1) || ' more' ELSE '' END,
    $endpoint, ref_date, ref_date, bool_and(is_delayed)
FROM (
    SELECT ref_date, '{ALL_SCENES} ' || user_count || ', read_user ' || read_user{article} AS what,
        {IS_DELAYED.format(answer="answer")} AS is_delayed
    FROM datacube.{table.name} AS scene JOIN datacube.{parent.name} AS whole USING (account, {keys})
    JOIN datacube.label_answers AS answer
        ON answer.account = scene.account AND answer.endpoint = $endpoint AND answer.label = ref_date
    WHERE account = $account AND scene_desc = '{ALL_SCENES}' AND user_count <> read_user
) GROUP BY ref_date"""


def _no_shares() -> str:
    return " UNION ALL ".join(
        f"""
SELECT max(ref_date)::VARCHAR, '{column} up to ' || max({column}) || ' in ' || count(*) || ' rows since '
        || min(ref_date), $endpoint, min(ref_date), max(ref_date)
FROM datacube.{table} WHERE account = $account AND {column} NOT BETWEEN 0 AND 1 HAVING count(*) > 0"""
        for table, column in RATES
    )


def _find_decreases(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _decreases())


def _find_odd_scenes(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, " UNION ALL ".join(map(_odd_scenes, _scenes_of(endpoint))))


def _find_no_shares(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _no_shares())


_TELL_US = Text(
    "Please tell us: `wx-datacube doctor --bundle FILE` writes what we need, without figures or secrets.",
    "请用 wx-datacube doctor --bundle FILE 生成不含数据和密钥的诊断文件，反馈给我们。",
)

ARTICLE_FIGURES_DO_NOT_SHRINK = Check(
    "article_figures_do_not_shrink",
    "An article's readers, sharers and new followers are no fewer than on the day before: by WeChat's page they are"
    " sums since publishing. Figures that WeChat called delayed are listed but don't fail the check."
    " 文章的阅读、分享和关注人数为自发表起的累计值，不会逐日减少；微信标明尚未更新完毕（is_delay）的数据只提示。",
    _find_decreases,
    remedy=Remedy(
        Text(
            "WeChat's figures may be daily values, which views and reports would then misread. {tell}",
            "微信返回的可能是每日数值而非累计值。{tell}",
            tell=_TELL_US,
        ),
    ),
    concerns=lambda endpoint: endpoint is PUBLISHED_ARTICLES,
)
READS_BY_SCENE_ARE_KNOWN = Check(
    "reads_by_scene_are_known",
    f"Readers come from scenes that the catalog has, and the row {ALL_SCENES} equals read_user where both are there."
    f" 阅读来源均为已知来源，且“{ALL_SCENES}”等于阅读人数。",
    _find_odd_scenes,
    remedy=Remedy(
        Text(
            "Nothing is lost: an unknown scene is counted and shown under WeChat's own name. WeChat has changed"
            " something: upgrade wx_datacube. {tell}",
            "数据没有丢失：未知来源按微信返回的名称显示。微信有所变更，请升级 wx_datacube；{tell}",
            tell=_TELL_US,
        ),
    ),
    concerns=lambda endpoint: bool(_scenes_of(endpoint)),
)
RATES_ARE_SHARES = Check(
    "rates_are_shares",
    "Delivery, finish and jump rates are shares from 0 to 1, as WeChat's page says."
    " 送达阅读率、读完率和跳出占比均在 0 至 1 之间。",
    _find_no_shares,
    remedy=Remedy(
        Text(
            "WeChat may send these rates as per cent; they are stored as they came. {tell}",
            "微信返回的可能是百分数；数据按原样保存。{tell}",
            tell=_TELL_US,
        ),
    ),
    concerns=lambda endpoint: endpoint is PUBLISHED_ARTICLES,
)
