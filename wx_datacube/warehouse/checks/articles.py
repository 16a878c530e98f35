"""Articles: checks of what WeChat's pages say about article figures, and of how clients disagree about it.

Add a check here if one answer about articles shows that the catalog misunderstands a field. A new answer of WeChat
would say the same, so the remedy is to tell us. Checks that compare two endpoints are in `family_sums`.
"""

from wx_datacube.catalog.articles import ALL_SCENES, PUBLISHED_ARTICLES, SCENE_DESC
from wx_datacube.catalog.model import Endpoint, Relation
from wx_datacube.language import Text
from wx_datacube.warehouse.checks.answers import UNKNOWN_CODE, unknown_code
from wx_datacube.warehouse.checks.check import Check, CheckContext, Finding, Remedy
from wx_datacube.warehouse.checks.family_sums import IS_DELAYED
from wx_datacube.warehouse.sql import names

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
        f"CASE WHEN {each} < {each}_before THEN"
        f" struct_pack(figure := '{each}', before := {each}_before, after := {each}, day := stat_date) END"
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
    SELECT ref_date, msgid, arg_min(fallen[1], stat_date) AS earliest, sum(len(fallen)) AS number
    FROM decreases GROUP BY ALL
)
SELECT ref_date::VARCHAR, struct_insert(earliest, msgid := msgid, number := number), $endpoint, ref_date, ref_date,
    {IS_DELAYED.format(answer="answer")}
FROM articles JOIN datacube.label_answers AS answer
    ON answer.account = $account AND answer.endpoint = $endpoint AND answer.label = ref_date"""


_DECREASE = Text(
    "{msgid}: {figure} {before} -> {after} on {day}", "{msgid}：{figure} 在 {day} 由 {before} 降为 {after}"
)


def _decrease(number: int, **values: object) -> Text:
    return _and_more(_DECREASE.fill(**values), number)


def _and_more(first: Text, number: int) -> Text:
    """Return the first of several texts, with how many others there are."""
    if number == 1:
        return first
    return Text("{first}, and {more} more", "{first}，另有 {more} 处", first=first, more=number - 1)


def _scenes_of(endpoint: Endpoint) -> list[Relation]:
    return [table for table in endpoint.relations if SCENE_DESC in table.fields]


def _wrong_totals(table: Relation) -> str:
    """Return a SELECT of totals over all scenes that differ from the row that they are part of.

    A date's different totals are one finding, which names the first.
    """
    parent = table.parent
    assert parent is not None
    keys = names(parent.key)
    msgid = "msgid" if any(key.name == "msgid" for key in parent.key) else "NULL::VARCHAR"
    return f"""
SELECT ref_date::VARCHAR, struct_insert(first(wrong ORDER BY wrong), number := count(*)), $endpoint, ref_date, ref_date,
    bool_and(is_delayed)
FROM (
    SELECT ref_date, struct_pack(total := user_count, readers := read_user, msgid := {msgid}) AS wrong,
        {IS_DELAYED.format(answer="answer")} AS is_delayed
    FROM datacube.{table.name} AS scene JOIN datacube.{parent.name} AS whole USING (account, {keys})
    JOIN datacube.label_answers AS answer
        ON answer.account = scene.account AND answer.endpoint = $endpoint AND answer.label = ref_date
    WHERE account = $account AND scene_desc = '{ALL_SCENES}' AND user_count <> read_user
) GROUP BY ref_date"""


_WRONG_TOTAL = Text(
    "{scene} {total}, read_user {readers}", "“{scene}”为 {total}，read_user 为 {readers}", scene=ALL_SCENES
)


def _wrong_total(msgid: str | None, number: int, **values: object) -> Text:
    text = _WRONG_TOTAL.fill(**values)
    if msgid is not None:
        text = Text("{text} of {msgid}", "{text}（文章 {msgid}）", text=text, msgid=msgid)
    return _and_more(text, number)


_NO_SHARE = Text(
    "{column} up to {most} in {rows} rows since {since}",
    "{column} 不在 0 至 1 之间，最大为 {most}，自 {since} 起共 {rows} 行",
)


def _no_shares() -> str:
    return " UNION ALL ".join(
        f"""
SELECT max(ref_date)::VARCHAR,
    struct_pack("column" := '{column}', most := max({column})::VARCHAR, rows := count(*), since := min(ref_date)),
    $endpoint, min(ref_date), max(ref_date)
FROM datacube.{table} WHERE account = $account AND {column} NOT BETWEEN 0 AND 1 HAVING count(*) > 0"""
        for table, column in RATES
    )


def _find_decreases(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _decreases(), _decrease)


def _find_odd_scenes(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    tables = _scenes_of(endpoint)
    unknown = " UNION ALL ".join(unknown_code(each, SCENE_DESC) for each in tables)
    totals = " UNION ALL ".join(map(_wrong_totals, tables))
    return context.findings(endpoint, unknown, UNKNOWN_CODE.fill) + context.findings(endpoint, totals, _wrong_total)


def _find_no_shares(context: CheckContext, endpoint: Endpoint) -> list[Finding]:
    return context.findings(endpoint, _no_shares(), _NO_SHARE.fill)


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
