-- The schema of version 1, as wx_datacube created it before followers, articles and interface.
CREATE SCHEMA datacube;
CREATE TABLE datacube.meta ("schema_version" INTEGER, "created_at" TIMESTAMP);
CREATE TABLE datacube.api_calls ("call_id" BIGINT, "run_id" VARCHAR, "account" VARCHAR, "endpoint" VARCHAR, "begin_date" DATE, "end_date" DATE, "asked" DATE[], "refresh" BOOLEAN, "requested_at" TIMESTAMP, "elapsed_ms" INTEGER, "http_status" INTEGER, "errcode" BIGINT, "errmsg" VARCHAR, "rid" VARCHAR, "response" VARCHAR);
CREATE TABLE datacube.label_answers ("account" VARCHAR, "endpoint" VARCHAR, "label" DATE, "call_id" BIGINT, "fetched_at" TIMESTAMP, "settled" BOOLEAN, "clean" BOOLEAN, "shown" BIGINT, "known" BOOLEAN);
CREATE TABLE datacube.rejected_rows ("account" VARCHAR, "endpoint" VARCHAR, "call_id" BIGINT, "row" JSON, "reason" VARCHAR);
CREATE TABLE datacube.revisions ("account" VARCHAR, "endpoint" VARCHAR, "ref_date" DATE, "ref_hour" INTEGER, "msg_type" INTEGER, "count_interval" INTEGER, "field" VARCHAR, "old" BIGINT, "new" BIGINT, "seen_at" TIMESTAMP, "old_call_id" BIGINT, "new_call_id" BIGINT);
CREATE TABLE datacube.accounts ("account" VARCHAR, "appid" VARCHAR, "start_date" DATE, "added_at" TIMESTAMP);
CREATE TABLE datacube.refreshes ("account" VARCHAR, "endpoint" VARCHAR, "first" DATE, "last" DATE, "begun_at" TIMESTAMP, "after_call_id" BIGINT);
CREATE TABLE datacube.endpoints ("endpoint" VARCHAR, "period" VARCHAR, "max_span_days" INTEGER, "description" VARCHAR, "description_zh" VARCHAR);
CREATE TABLE datacube.getupstreammsg ("account" VARCHAR, "ref_date" DATE, "msg_type" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "msg_count" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsg', 'day', 7, 'Messages that followers sent to the account on a day, by type of message.', '每日消息发送概况：按消息类型统计粉丝发送给公众号的消息。');
CREATE TABLE datacube.getupstreammsghour ("account" VARCHAR, "ref_date" DATE, "ref_hour" INTEGER, "msg_type" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "msg_count" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsghour', 'day', 1, 'Messages that followers sent in an hour of a day, by type of message.', '每日消息分时数据：按小时和消息类型统计粉丝发送给公众号的消息。');
CREATE TABLE datacube.getupstreammsgweek ("account" VARCHAR, "ref_date" DATE, "msg_type" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "msg_count" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsgweek', 'week', 30, 'Messages that followers sent in a week, by type of message; the date is the week''s Monday.', '消息发送周数据：按消息类型统计一周内粉丝发送给公众号的消息，日期为当周周一。');
CREATE TABLE datacube.getupstreammsgmonth ("account" VARCHAR, "ref_date" DATE, "msg_type" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "msg_count" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsgmonth', 'month', 30, 'Messages that followers sent in a month, by type of message; the date is the month''s 1st.', '消息发送月数据：按消息类型统计一个月内粉丝发送给公众号的消息，日期为当月 1 日。');
CREATE TABLE datacube.getupstreammsgdist ("account" VARCHAR, "ref_date" DATE, "count_interval" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsgdist', 'day', 15, 'How many users sent 1-5, 6-10 or more than 10 messages on a day.', '每日消息发送分布：当日发送 1-5次、6-10次、10次以上消息的用户数。');
CREATE TABLE datacube.getupstreammsgdistweek ("account" VARCHAR, "ref_date" DATE, "count_interval" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsgdistweek', 'week', 30, 'How many users sent 1-5, 6-10 or more than 10 messages in a week; the date is the week''s Monday.', '消息发送分布周数据：一周内发送 1-5次、6-10次、10次以上消息的用户数，日期为当周周一。');
CREATE TABLE datacube.getupstreammsgdistmonth ("account" VARCHAR, "ref_date" DATE, "count_interval" INTEGER, "user_source" INTEGER, "msg_user" BIGINT, "call_id" BIGINT);
INSERT INTO datacube.endpoints VALUES ('getupstreammsgdistmonth', 'month', 30, 'How many users sent 1-5, 6-10 or more than 10 messages in a month; the date is the month''s 1st.', '消息发送分布月数据：一个月内发送 1-5次、6-10次、10次以上消息的用户数，日期为当月 1 日。');
CREATE VIEW datacube.coverage AS 
SELECT account, endpoint, label, state, coalesce(stored, 0) AS "rows", fetched_at, call_id
FROM (
WITH 
moment AS (
    SELECT CAST((make_timestamp(epoch_us(now())) + INTERVAL 8 HOUR) AS TIMESTAMP) AS instant, date_trunc('day', instant) - INTERVAL 1 DAY AS yesterday
),
due AS (
    SELECT account, endpoint, label::DATE AS label
    FROM (
        SELECT account, unnest(generate_series(
            date_trunc('day', start_date)::TIMESTAMP, instant - INTERVAL 1 DAY, INTERVAL 1 DAY)) AS label
        FROM datacube.accounts, moment
    ), unnest(['getupstreammsg', 'getupstreammsghour', 'getupstreammsgdist']) AS names(endpoint) UNION ALL 
    SELECT account, endpoint, label::DATE AS label
    FROM (
        SELECT account, unnest(generate_series(
            date_trunc('week', start_date)::TIMESTAMP, instant - INTERVAL 7 DAY, INTERVAL 7 DAY)) AS label
        FROM datacube.accounts, moment
    ), unnest(['getupstreammsgweek', 'getupstreammsgdistweek']) AS names(endpoint) UNION ALL 
    SELECT account, endpoint, label::DATE AS label
    FROM (
        SELECT account, unnest(generate_series(
            date_trunc('month', start_date)::TIMESTAMP, instant - INTERVAL 1 MONTH, INTERVAL 1 MONTH)) AS label
        FROM datacube.accounts, moment
    ), unnest(['getupstreammsgmonth', 'getupstreammsgdistmonth']) AS names(endpoint)),
answer AS (
    SELECT account, endpoint, label, fetched_at, call_id, shown, settled AND clean AS sure FROM datacube.label_answers
    WHERE endpoint IN ('getupstreammsg', 'getupstreammsghour', 'getupstreammsgweek', 'getupstreammsgmonth', 'getupstreammsgdist', 'getupstreammsgdistweek', 'getupstreammsgdistmonth') AND true
),
quiet AS (SELECT account, endpoint, label, fetched_at, call_id, sure FROM answer WHERE shown = 0),
kept AS (FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsg WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsg' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsghour WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsghour' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsgweek WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsgweek' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsgmonth WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsgmonth' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsgdist WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsgdist' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsgdistweek WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsgdistweek' UNION ALL FROM quiet SEMI JOIN (SELECT account, ref_date AS label FROM datacube.getupstreammsgdistmonth WHERE true) USING (account, label) WHERE endpoint = 'getupstreammsgdistmonth'),
silent AS (SELECT account, endpoint, label FROM quiet ANTI JOIN kept USING (account, endpoint, label) WHERE sure),
contradicted AS (FROM silent SEMI JOIN (SELECT account, date_trunc('day', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsg' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('day', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsghour' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('week', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsgweek' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('month', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsgmonth' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('day', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsgdist' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('week', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsgdistweek' UNION ALL FROM silent SEMI JOIN (SELECT account, date_trunc('month', ref_date)::DATE AS label FROM datacube.getupstreammsg WHERE msg_count > 0 AND true) USING (account, label) WHERE endpoint = 'getupstreammsgdistmonth'),
silent_day AS (SELECT account, label FROM silent WHERE endpoint = 'getupstreammsg'),
-- Stored rows and the daily endpoint are looked up only for answers without rows, which are few.
label_state AS (
    SELECT account, endpoint, label, fetched_at, call_id, 'landed' AS state FROM answer WHERE shown > 0
    UNION ALL
    SELECT quiet.account, quiet.endpoint, quiet.label, quiet.fetched_at, quiet.call_id,
        CASE WHEN kept.label IS NOT NULL THEN 'landed' WHEN quiet.sure AND contradicted.label IS NULL THEN 'empty'
            WHEN silent_day.label IS NOT NULL AND quiet.endpoint IN ('getupstreammsghour', 'getupstreammsgdist') THEN 'implied' END
    FROM quiet LEFT JOIN kept USING (account, endpoint, label) LEFT JOIN contradicted USING (account, endpoint, label)
    LEFT JOIN silent_day ON silent_day.account = quiet.account AND silent_day.label = quiet.label
    UNION ALL
    FROM (SELECT account, unnest(['getupstreammsghour', 'getupstreammsgdist']) AS endpoint, label, NULL, NULL, 'implied' FROM silent_day)
    ANTI JOIN answer USING (account, endpoint, label)
)
SELECT account, endpoint, label, coalesce(state, 'missing') AS state, fetched_at, call_id
FROM due LEFT JOIN label_state USING (account, endpoint, label)
) LEFT JOIN (SELECT account, 'getupstreammsg' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsg GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsghour' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsghour GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsgweek' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsgweek GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsgmonth' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsgmonth GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsgdist' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsgdist GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsgdistweek' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsgdistweek GROUP BY account, ref_date UNION ALL SELECT account, 'getupstreammsgdistmonth' AS endpoint, ref_date AS label, count(*) AS stored FROM datacube.getupstreammsgdistmonth GROUP BY account, ref_date) USING (account, endpoint, label);
CREATE VIEW main.messages_daily AS SELECT account, ref_date AS date,  CASE msg_type WHEN 1 THEN 'text' WHEN 2 THEN 'image' WHEN 3 THEN 'voice' WHEN 4 THEN 'video' WHEN 6 THEN 'link' ELSE 'other (' || msg_type || ')' END AS type, msg_user AS users, msg_count AS messages FROM datacube.getupstreammsg;
CREATE VIEW main.messages_hourly AS SELECT account, ref_date AS date, (ref_hour // 100)::INTEGER AS hour, CASE msg_type WHEN 1 THEN 'text' WHEN 2 THEN 'image' WHEN 3 THEN 'voice' WHEN 4 THEN 'video' WHEN 6 THEN 'link' ELSE 'other (' || msg_type || ')' END AS type, msg_user AS users, msg_count AS messages FROM datacube.getupstreammsghour;
CREATE VIEW main.senders_daily AS SELECT account, ref_date AS date, CASE count_interval WHEN 0 THEN '0' WHEN 1 THEN '1-5' WHEN 2 THEN '6-10' WHEN 3 THEN 'more than 10' ELSE 'other (' || count_interval || ')' END AS messages_sent, msg_user AS users FROM datacube.getupstreammsgdist;
CREATE VIEW main.totals_daily AS 
SELECT account, date, users, messages, messages / nullif(users, 0) AS messages_per_user
FROM (SELECT account, ref_date AS date, TRY_CAST(sum(msg_count) AS BIGINT) AS messages
      FROM datacube.getupstreammsg GROUP BY ALL)
FULL JOIN (SELECT account, ref_date AS date, TRY_CAST(sum(msg_user) AS BIGINT) AS users
      FROM datacube.getupstreammsgdist WHERE count_interval <> 0 GROUP BY ALL) USING (account, date);
CREATE VIEW main.messages_weekly AS SELECT account, ref_date AS date,  CASE msg_type WHEN 1 THEN 'text' WHEN 2 THEN 'image' WHEN 3 THEN 'voice' WHEN 4 THEN 'video' WHEN 6 THEN 'link' ELSE 'other (' || msg_type || ')' END AS type, msg_user AS users, msg_count AS messages FROM datacube.getupstreammsgweek;
CREATE VIEW main.senders_weekly AS SELECT account, ref_date AS date, CASE count_interval WHEN 0 THEN '0' WHEN 1 THEN '1-5' WHEN 2 THEN '6-10' WHEN 3 THEN 'more than 10' ELSE 'other (' || count_interval || ')' END AS messages_sent, msg_user AS users FROM datacube.getupstreammsgdistweek;
CREATE VIEW main.totals_weekly AS 
SELECT account, date, users, messages, messages / nullif(users, 0) AS messages_per_user
FROM (SELECT account, ref_date AS date, TRY_CAST(sum(msg_count) AS BIGINT) AS messages
      FROM datacube.getupstreammsgweek GROUP BY ALL)
FULL JOIN (SELECT account, ref_date AS date, TRY_CAST(sum(msg_user) AS BIGINT) AS users
      FROM datacube.getupstreammsgdistweek WHERE count_interval <> 0 GROUP BY ALL) USING (account, date);
CREATE VIEW main.messages_monthly AS SELECT account, ref_date AS date,  CASE msg_type WHEN 1 THEN 'text' WHEN 2 THEN 'image' WHEN 3 THEN 'voice' WHEN 4 THEN 'video' WHEN 6 THEN 'link' ELSE 'other (' || msg_type || ')' END AS type, msg_user AS users, msg_count AS messages FROM datacube.getupstreammsgmonth;
CREATE VIEW main.senders_monthly AS SELECT account, ref_date AS date, CASE count_interval WHEN 0 THEN '0' WHEN 1 THEN '1-5' WHEN 2 THEN '6-10' WHEN 3 THEN 'more than 10' ELSE 'other (' || count_interval || ')' END AS messages_sent, msg_user AS users FROM datacube.getupstreammsgdistmonth;
CREATE VIEW main.totals_monthly AS 
SELECT account, date, users, messages, messages / nullif(users, 0) AS messages_per_user
FROM (SELECT account, ref_date AS date, TRY_CAST(sum(msg_count) AS BIGINT) AS messages
      FROM datacube.getupstreammsgmonth GROUP BY ALL)
FULL JOIN (SELECT account, ref_date AS date, TRY_CAST(sum(msg_user) AS BIGINT) AS users
      FROM datacube.getupstreammsgdistmonth WHERE count_interval <> 0 GROUP BY ALL) USING (account, date);
