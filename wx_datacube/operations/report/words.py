"""Words: every text of the report's pages, in English and Chinese.

Add a text here and use it in the page's scripts as `t("key")`. Don't write texts anywhere else, or a report mixes
languages. The scripts fill in the `{…}`. Names of metrics and codes are in `operations.names`.
"""

from wx_datacube.language import Text

WORDS = {
    "title": Text("{title}: statistics", "{title} 数据报告"),
    "own_name": Text("English", "中文"),
    "updated": Text("Data updated {updated}.", "数据更新至 {updated}。"),
    "times": Text("All times are Beijing time.", "时间均为北京时间。"),
    "to": Text("to", "至"),
    "span": Text("{first} to {last}", "{first} 至 {last}"),
    "with_weekday": Text("{weekday} {day}", "{day} {weekday}"),
    "weekday_1": Text("Mon", "周一"),
    "weekday_2": Text("Tue", "周二"),
    "weekday_3": Text("Wed", "周三"),
    "weekday_4": Text("Thu", "周四"),
    "weekday_5": Text("Fri", "周五"),
    "weekday_6": Text("Sat", "周六"),
    "weekday_7": Text("Sun", "周日"),
    # Pages
    "pages": Text("Pages", "页面"),
    "overview": Text("Overview", "概览"),
    "followers": Text("Followers", "用户"),
    "articles": Text("Articles", "内容"),
    "messages": Text("Messages", "消息"),
    "interface": Text("Interface", "接口"),
    "coverage": Text("Completeness", "数据完整性"),
    # The range
    "range": Text("Range", "日期范围"),
    "last_7": Text("7 days", "近 7 天"),
    "last_14": Text("14 days", "近 14 天"),
    "last_30": Text("30 days", "近 30 天"),
    "last_90": Text("90 days", "近 90 天"),
    "last_365": Text("A year", "近一年"),
    "last_all": Text("All", "全部"),
    "first_day": Text("First day", "起始日期"),
    "last_day": Text("Last day", "结束日期"),
    "compared_with": Text("Compared with", "对比范围"),
    "compared_first": Text("First day of the comparison", "对比起始日期"),
    "compared_last": Text("Last day of the comparison", "对比结束日期"),
    "reset": Text("Reset", "恢复默认"),
    "nothing_before": Text("Nothing is stored before this range.", "该范围之前没有数据可供对比。"),
    "this_range": Text("selected range", "所选范围"),
    "compared_range": Text("comparison", "对比范围"),
    # Figures
    "date": Text("Date", "日期"),
    "week": Text("Week", "周"),
    "month": Text("Month", "月"),
    "metric": Text("Figure", "指标"),
    "change": Text("Change", "变化"),
    "no_data": Text("no data", "无数据"),
    "unchanged": Text("unchanged", "持平"),
    "from_zero": Text("previously 0", "此前为 0"),
    "by_day": Text("{change} per day", "日均 {change}"),
    "change_and_by_day": Text("{change} ({by_day})", "{change}（{by_day}）"),
    "points": Text("{change} points", "{change} 个百分点"),
    "per_day": Text("{name} per day", "日均{name}"),
    "at_end": Text("{name} at the end", "期末{name}"),
    "known_days": Text("Data for {known} of {days} days.", "{days} 天中 {known} 天有数据。"),
    "known_days_before": Text(
        "In the comparison, data for {known} of {days} days.", "对比范围 {days} 天中 {known} 天有数据。"
    ),
    "open_note": Text("* WeChat may still change this figure.", "* 微信仍可能更新该数据。"),
    "figures_of_range": Text("Summary", "区间概况"),
    "of_metrics": Text("{names}: {text}", "{names}：{text}"),
    "printed": Text(", compared with {before}", "，对比 {before}"),
    "details": Text("Details by day", "详细数据"),
    "show_all": Text("Show all {count} rows", "显示全部 {count} 行"),
    "download": Text("Download CSV", "下载 CSV"),
    "scroll": Text("Scroll sideways for more columns →", "左右滑动查看更多列 →"),
    "share": Text("Share", "占比"),
    "share_percent": Text("Share (%)", "占比（%）"),
    "count": Text("Count", "数量"),
    "kind": Text("Kind", "分类"),
    "small_kinds": Text("each below 3%", "占比不足 3% 的各项"),
    "trend_label": Text("{metric}, {range}, by day", "{metric}趋势，{range}"),
    "trend_note": Text(
        "The dashed line is the comparison. The line breaks where nothing is stored. A bar across the zero line is a"
        " day without any. Hollow points may still change. Holidays are shaded; “work” is a make-up workday.",
        "虚线为对比范围。线条断开处没有数据；短横线表示当日为 0；空心点表示微信仍可能更新；"
        "底色为节假日，“班”为调休上班日。",
    ),
    "working": Text("work", "班"),
    "point_week": Text("A point is the mean per day of a week.", "每个点为一周的日均值。"),
    "point_month": Text("A point is the mean per day of a month.", "每个点为一个月的日均值。"),
    "bar_week": Text("A bar is a week.", "每根柱子为一周合计。"),
    "bar_month": Text("A bar is a month.", "每根柱子为一个月合计。"),
    "line_note": Text(
        "The line breaks where nothing is stored. Hollow points may still change. Holidays are shaded;"
        " “work” is a make-up workday.",
        "线条断开处没有数据；空心点表示微信仍可能更新；底色为节假日，“班”为调休上班日。",
    ),
    "marks_note": Text("Triangles are days with articles.", "三角形为有文章发表的日期。"),
    # Overview
    "yesterday": Text("Yesterday's key figures, {weekday} {day}", "昨日关键指标（{day} {weekday}）"),
    "newest_day": Text("Key figures of the newest day, {weekday} {day}", "最新一日关键指标（{day} {weekday}）"),
    "before_1": Text("1 day", "较前一日"),
    "before_7": Text("7 days", "较 7 日前"),
    "before_30": Text("30 days", "较 30 日前"),
    "newest_value": Text("Newest: {value} ({day})", "最新：{value}（{day}）"),
    "spark_note": Text(
        "Changes against 1, 7 and 30 days before. The lines show the last 30 days.", "折线为近 30 天走势。"
    ),
    "unusual": Text("What is unusual", "异常提示"),
    "nothing_unusual": Text(
        "Nothing unusual: messages and followers are like those of comparable days.",
        "没有发现异常：消息和用户数据与同类日期相近。",
    ),
    "too_little": Text(
        "There are not enough weeks of figures yet to say what is usual.", "历史数据不足，暂时无法判断是否异常。"
    ),
    "unusual_note": Text(
        "Messages, senders and followers of the newest day are compared with the same weekday of the last eight weeks,"
        " or with the same festival last year. Reading, and followers who came from articles, follow publishing and"
        " are left out.",
        "最新一日的消息和用户数据，与最近八周的同一星期几或去年同一节日比较；阅读数据和来自文章的关注随发文波动，不在此列。",
    ),
    "expected_messages": Text("Messages", "消息发送次数"),
    "expected_senders": Text("Senders", "消息发送人数"),
    "expected_new_followers": Text("New followers, except from articles", "新增人数（文章渠道除外）"),
    "expected_lost_followers": Text("Lost followers, except from articles", "取消关注人数（文章渠道除外）"),
    "figure": Text("Value", "数值"),
    "expected": Text("Expected", "预计"),
    "usual_range": Text("Usual range", "正常范围"),
    "from_to": Text("{from} to {to}", "{from} 至 {to}"),
    "verdict": Text("Verdict", "判断"),
    "usual": Text("usual", "正常"),
    "outside": Text("unusual", "异常"),
    "compared_days": Text("Compared with", "参照"),
    "trend": Text("Trend", "趋势"),
    "reports": Text("Reports", "报表"),
    "report_day": Text("By day", "日报"),
    "report_week": Text("By week", "周报"),
    "report_month": Text("By month", "月报"),
    "report_note": Text(
        "Weeks and months that overlap the range and are over. Each user counts once per period: senders come from"
        " WeChat's own weekly and monthly figures, readers are a mean per day. A dash: not all of its days are stored.",
        "包含与所选范围重叠且已结束的周和月。人数已去重：消息发送人数取自微信的周、月数据，阅读人数为日均。"
        "“–”表示部分日期没有数据。",
    ),
    "only_interface": Text(
        "This account fetches figures of its interface only; see that page.", "该账号只获取接口数据，请查看“接口”页。"
    ),
    # Followers
    "follower_trend": Text("New and lost followers", "用户增减趋势"),
    "channels": Text("New followers by channel", "关注渠道"),
    "channel": Text("Channel", "渠道"),
    "best_channel": Text("{share} of the new followers came by: {name}.", "新增人数中 {share} 来自{name}。"),
    "nobody_came": Text("Nobody began or stopped following in this range.", "所选范围内没有新增或取消关注。"),
    # Articles
    "readers": Text("Readers", "阅读人数"),
    "articles_published": Text("Published", "发表文章"),
    "articles_of_range": Text("Articles published in the range", "区间内发表的文章"),
    "published_count": Text("{count} articles were published.", "共发表 {count} 篇。"),
    "most_read": Text("Most read: {title}, {readers} readers.", "阅读最多：《{title}》，{readers} 人。"),
    "most_brought": Text(
        "Brought the most followers: {title}, {followers}.", "带来关注最多：《{title}》，{followers} 人。"
    ),
    "article": Text("Article", "文章"),
    "untitled": Text("article {id}", "文章 {id}"),
    "published_on": Text("Published on", "发表日期"),
    "address": Text("Address", "链接"),
    "against_typical": Text("vs. typical", "较中位数"),
    "brought": Text("Followers brought", "阅读后关注人数"),
    "share_rate": Text("Share rate", "分享率"),
    "finish_rate": Text("Finish rate", "读完率"),
    "minutes": Text("Minutes per reader", "人均阅读时长（分钟）"),
    "articles_note": Text(
        "Figures count from publishing on. vs. typical: readers against the median of the account's articles at the"
        " same age. ▲: share rate above the account's median of {share}. Select a title for its reading curve.",
        "数据自发表起累计。较中位数：与本号文章发表后同一天数的阅读人数中位数比较；▲ 表示分享率高于本号中位数 {share}。"
        "点击标题可查看阅读曲线。",
    ),
    "curve_label": Text("Readers of {title} by days after publishing", "《{title}》发表后的累计阅读人数"),
    "no_curve": Text("No reading curve is stored for this article.", "该文章没有阅读曲线数据。"),
    "this_article": Text("this article", "本文"),
    "typical_article": Text("median of the account", "本号中位数"),
    "days_after": Text("Day after publishing", "发表后天数"),
    "readers_so_far": Text("Readers so far", "累计阅读人数"),
    "sources": Text("Readers by source", "阅读来源"),
    "source": Text("Source", "来源"),
    "readers_per_day": Text("Readers per day", "日均阅读人数"),
    "sources_note": Text("A reader may count in several sources.", "同一读者可能计入多个来源。"),
    "jumps": Text("Where readers left", "跳出位置"),
    "left_at": Text("Part of the article", "文章位置"),
    "part": Text("{from}-{to}%", "{from}-{to}%"),
    "article_facts": Text(
        "Likes {likes}, hearts {hearts}, comments {comments}, saves {saves}.",
        "点赞 {likes}，在看 {hearts}，留言 {comments}，收藏 {saves}。",
    ),
    "notified": Text("Followers were notified.", "已通知粉丝（群发）。"),
    "not_notified": Text("Followers were not notified.", "未通知粉丝。"),
    "open_article": Text("Open the article", "打开文章"),
    "readers_trend": Text("Readers by day", "阅读人数趋势"),
    "nothing_in_range_articles": Text(
        "Nothing is stored in this range; WeChat has figures of articles from {first} on.",
        "所选范围内没有数据；微信自 {first} 起提供内容数据。",
    ),
    # Messages
    "message_trend": Text("Messages by day", "消息发送次数趋势"),
    "types": Text("Message types", "消息类型"),
    "type": Text("Type", "类型"),
    "no_messages": Text("Nobody sent a message in this range.", "所选范围内没有人发送消息。"),
    "hours": Text("Messages by weekday and hour", "消息时段分布"),
    "hours_note": Text(
        "Mean messages per hour, over the days of the range whose hours are stored.",
        "所选范围内每小时的平均消息发送次数，只计有小时数据的日期。",
    ),
    "messages_per_hour": Text("Messages per hour", "每小时消息次数"),
    "hour": Text("Hour", "小时"),
    "hour_of": Text("{hour}:00 to {next}:00", "{hour}–{next} 点"),
    "weekday": Text("Weekday", "星期"),
    "busiest": Text(
        "Busiest hour of the week: {weekday}, {hour}:00 to {next}:00, {messages} messages on average.",
        "一周中最忙的时段：{weekday} {hour}–{next} 点，平均 {messages} 次。",
    ),
    "no_hours": Text("No hours are stored.", "没有小时数据。"),
    "no_hours_in_range": Text("No hours with messages are stored in this range.", "所选范围内没有消息的小时数据。"),
    "hourly": Text("By hour", "小时报"),
    "hourly_of": Text("By hour on the newest day, {weekday} {day}", "最新一日小时报（{day} {weekday}）"),
    "usual_hour": Text("median of this weekday, 8 weeks", "近 8 周同一星期的中位数"),
    "frequent": Text("Senders of more than five messages", "发送超过 5 次的用户占比"),
    "frequent_share": Text(
        "{share} of the senders sent more than five messages on a day.", "{share} 的消息发送者当日发送超过 5 次。"
    ),
    "interval": Text("Messages sent", "发送次数"),
    "senders_in_range": Text("Senders per day", "日均消息发送人数"),
    "senders_of": Text("Senders of {interval} messages", "发送 {interval} 的人数"),
    # Interface
    "calls_trend": Text("Calls by day", "接口调用趋势"),
    "interface_hourly": Text("Calls by hour", "接口小时报"),
    "interface_hours": Text(
        "Calls by hour on the newest day, {weekday} {day}", "最新一日接口小时报（{day} {weekday}）"
    ),
    # Completeness
    "calendar": Text("Calendar", "数据日历"),
    "calendar_note": Text(
        "A square is a day. Its colour is the most severe state of the daily endpoints.",
        "每格一天，颜色表示当天各日接口中最严重的状态。",
    ),
    "state": Text("State", "状态"),
    "state_landed": Text("stored", "已入库"),
    "state_open": Text("still changing", "仍在更新"),
    "state_empty": Text("empty", "无数据"),
    "state_missing": Text("missing", "缺失"),
    "state_pending": Text("not published yet", "微信尚未发布"),
    "state_rejected": Text("rows rejected", "有剔除数据"),
    "state_revised": Text("revised by WeChat", "微信已修订"),
    "all_endpoints": Text("all endpoints", "全部接口"),
    "endpoint": Text("Endpoint", "接口"),
    "endpoints": Text("Endpoints", "各接口数据"),
    "count_due": Text("Due", "应有"),
    "count_landed": Text("Stored", "已入库"),
    "count_empty": Text("Empty", "无数据"),
    "count_missing": Text("Missing", "缺失"),
    "count_pending": Text("Not published", "微信尚未发布"),
    "count_open": Text("Still changing", "仍在更新"),
    "count_rejected": Text("Rejected", "有剔除"),
    "count_revised": Text("Revised", "已修订"),
    "gaps": Text("What is missing", "缺失范围"),
    "more_gaps": Text("{count} older ones", "另有 {count} 段更早的"),
    "whole": Text("All data that is due is stored.", "应有数据已全部入库。"),
    "missing_labels": Text(
        "{missing} items of {endpoints} endpoints are missing, {span}.",
        "缺失 {missing} 项数据，涉及 {endpoints} 个接口（{span}）。",
    ),
    "see_coverage": Text("See what and how to fetch it", "查看缺失内容和补齐方法"),
    "fetch": Text("To fetch them:", "补齐："),
    "waiting": Text(
        "WeChat has not published {count} yet; as a rule it does by noon.",
        "另有 {count} 项微信尚未发布，一般最迟中午 12 点更新。",
    ),
    "families_off": Text("Not fetched: {families}.", "未开启：{families}。"),
    # Notices
    "nothing": Text(
        "Nothing is stored yet. Fetch data: wx-datacube backfill --account {account}",
        "还没有任何数据。获取数据：wx-datacube backfill --account {account}",
    ),
    "nothing_in_range": Text("Nothing is stored in this range.", "所选范围内没有数据。"),
    "stale": Text(
        "The newest stored day is {newest}, {days} days ago. Update: wx-datacube backfill --account {account}",
        "最新数据日期为 {newest}，距今 {days} 天。更新数据：wx-datacube backfill --account {account}",
    ),
    "broken": Text("This chart can't be shown: {why}", "图表无法显示：{why}"),
    # All accounts
    "all_accounts": Text("All accounts", "全部账号"),
    "account": Text("Account", "账号"),
    "data_of": Text("Data of", "数据日期"),
    "complete": Text("complete", "完整"),
    "missing_count": Text("{count} missing", "缺 {count} 项"),
    "accounts_note": Text(
        "Small figures are the change against 7 days before. A dash: nothing is stored for the day.",
        "小字为较 7 日前的变化；“–”表示当日没有数据。",
    ),
}
