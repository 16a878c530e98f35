// Pages: the sections of each page of the report, for the chosen range.
"use strict";

let choice = chosen();

const rangeText = () => span(isoOf(choice.range.from), isoOf(choice.range.to));
const beforeText = () => span(isoOf(choice.before.from), isoOf(choice.before.to));

/** Return how many days of the range, and of the one it is compared with, are stored, if not all are. */
function knownText(metric) {
  if (["mean_ms", "max_ms"].includes(metric)) return ""; // a day without calls has none
  const gaps = ({ from, to }) => {
    const days = Math.max(to - from + 1, 0);
    const { known } = over(metric, { from, to });
    return known < days ? { known: number(known), days: number(days) } : null;
  };
  const [now, before] = [gaps(choice.range), gaps(choice.before)];
  return joined([now && t("known_days", { known: now.known, days: now.days }), before && t("known_days_before", { known: before.known, days: before.days })]);
}

/** Return a table of metrics over the range, with the change from the range that it is compared with. */
function summary(metrics) {
  const label = (metric) => {
    const { how } = over(metric, choice.range);
    const name = nameOf(metric);
    return how === "mean" ? t("per_day", { name }) : how === "last" ? t("at_end", { name }) : name;
  };
  const list = metrics.map((metric) => {
    const now = over(metric, choice.range);
    const before = over(metric, choice.before);
    const open = knownIn(metric, choice.range).some((place) => isOpen(metric, place)) ? "*" : "";
    return [label(metric), `${shown(metric, now.value)}${open}`, shown(metric, before.value), changeBetween(metric, choice.range, choice.before)];
  });
  const partial = metrics.map(knownText).find(Boolean);
  const open = list.some(([, value]) => value.endsWith("*"));
  const compared = choice.before.to >= 0;
  const heads = [t("metric"), rangeText(), ...(compared ? [beforeText(), t("change")] : [])];
  return [
    plain(t("figures_of_range"), heads, list.map((row) => row.slice(0, heads.length))),
    note(joined([partial, open ? t("open_note") : ""])),
  ];
}

const dayColumn = { title: "", words: "date", value: (row) => row.date, text: (row) => t("with_weekday", { day: day(row.date), weekday: weekday(row.date) }) };

/** Return columns of metrics for rows that have their day's place. */
const metricColumns = (metrics) => metrics.map((metric) => ({
  title: nameOf(metric),
  value: (row) => values(metric)[row.place],
  text: (row) => `${shown(metric, values(metric)[row.place])}${isOpen(metric, row.place) ? "*" : ""}`,
}));

function daysOfRange() {
  const found = [];
  for (let place = choice.range.from; place <= choice.range.to; place++) found.push({ place, date: isoOf(place) });
  return found;
}

const fileName = (what) => `${DATA.account}_${what}_${isoOf(choice.range.from)}_${isoOf(choice.range.to)}.csv`;

/** Return the table of details per day, which unfolds. */
function details(what, columns) {
  const place = h("div");
  const fill = () => place.childNodes.length || place.append(
    sortable(t("details"), [{ ...dayColumn, title: t("date") }, ...columns], daysOfRange(), { file: fileName(what) }));
  const id = `h${++ids}`;
  return h("section", { "aria-labelledby": id }, h("details", { toggle: fill }, h("summary", {}, h("h2", { id }, t("details"))), place));
}

const shares = (list, name) => {
  const whole = sum(list.map((each) => each.value));
  return list.map((each) => ({ ...each, name: name(each.word), share: (100 * each.value) / whole }));
};

/** Return a share as a bar with its percentage. */
const shareBar = (share) => h("span", { class: "share" }, h("span", { class: "bar" }, h("span", { style: `width:${Math.min(share, 100).toFixed(1)}%` })), h("span", {}, percent(share)));

// --- overview --------------------------------------------------------------------------------------------------------

const KEYS = ["readers", "net_followers", "followers", "messages", "senders", "messages_per_sender"];
const keysShown = () => KEYS.filter((metric) => DATA.daily[metric] || (metric === "net_followers" && has("followers")) || (RATIOS[metric] && has("messages")));

/** Return the newest day with any of the key figures. */
function keyDay() {
  let newest = -1;
  for (const metric of keysShown()) for (let place = LAST; place > newest; place--) if (values(metric)[place] !== null) newest = place;
  return newest;
}

function card(metric, place) {
  const list = values(metric);
  const value = list[place];
  const past = [1, 7, 30].map((back) => [t(`before_${back}`), changed(metric, value, place - back >= 0 ? list[place - back] : null)]);
  const known = value === null ? list.slice(0, place).findLastIndex((each) => each !== null) : place;
  const newest = value === null && known >= 0 ? t("newest_value", { day: day(isoOf(known)), value: shown(metric, list[known]) }) : "";
  return h("div", { class: "card" },
    h("h3", {}, nameOf(metric)),
    h("p", { class: "value" }, shown(metric, value), isOpen(metric, place) ? h("span", { class: "open" }, "*") : ""),
    value === null ? note(newest || t("no_data")) : h("dl", {}, past.map(([when, text]) => h("div", {}, h("dt", {}, when), h("dd", {}, text)))),
    sparkline(list.slice(Math.max(place - 29, 0), place + 1)));
}

function keyFigures() {
  const place = keyDay();
  if (place < 0) return null;
  const iso = isoOf(place);
  const title = place === LAST ? t("yesterday", { day: day(iso), weekday: weekday(iso) }) : t("newest_day", { day: day(iso), weekday: weekday(iso) });
  const open = keysShown().some((metric) => isOpen(metric, place));
  return section(title, h("div", { class: "cards", style: `--count: ${keysShown().length}` }, keysShown().map((metric) => card(metric, place))),
    note(joined([open ? t("open_note") : "", t("spark_note")])));
}

/** Return what is unusual about the newest day, whatever the range, and what was to be expected. */
function doubts() {
  if (!has("messages") && !has("followers")) return null;
  const { doubts: found, compared } = DATA;
  const items = found.map((each) => h("li", {}, h("strong", {}, `${day(each.date)} ${weekday(each.date)}`), " ", pick(each.text), language === "zh" ? "。" : "."));
  const isUnusual = ({ figure, range: [low, high] }) => figure < low || figure > high;
  const rowsOf = compared.map((each) => [
    t(`expected_${each.metric}`), dayName(each.date), number(each.figure), number(each.expected),
    t("from_to", { from: number(each.range[0]), to: number(each.range[1]) }), t(isUnusual(each) ? "outside" : "usual"), pick(each.basis)]);
  return section(t("unusual"),
    items.length ? h("ul", { class: "plain" }, items) : paragraph(t(compared.length ? "nothing_unusual" : "too_little")),
    rowsOf.length ? plain(t("unusual"), [t("metric"), t("date"), t("figure"), t("expected"), t("usual_range"), t("verdict"), t("compared_days")], rowsOf) : null,
    note(t("unusual_note")));
}

const dayName = (iso) => t("with_weekday", { day: day(iso), weekday: weekday(iso) });

const lineNote = () => joined([unitNote("point"), t("line_note")]);

/** Return what a point or bar of the range's charts is, if it is not a day. */
function unitNote(kind) {
  const unit = unitOf(choice.range);
  if (unit === "day") return "";
  return kind === "bar" ? t(`bar_${unit}`) : t(`point_${unit}`);
}

const trendNote = () => joined([unitNote("point"), t("trend_note"), has("articles") && unitOf(choice.range) === "day" ? t("marks_note") : ""]);

let trendMetric = null;

function trendSection() {
  const metrics = keysShown();
  trendMetric = metrics.includes(trendMetric) ? trendMetric : metrics[0];
  const place = h("div");
  const draw = () => {
    place.replaceChildren(figure(t("trend_label", { metric: nameOf(trendMetric), range: rangeText() }), trendOf(trendMetric, choice, { marks: articleMarks() })));
  };
  const buttons = metrics.map((metric) => h("button", { type: "button", "aria-pressed": String(metric === trendMetric), click: (event) => {
    trendMetric = metric;
    for (const each of event.target.parentNode.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === event.target));
    draw();
    drawAll();
  } }, nameOf(metric)));
  draw();
  return section(t("trend"), h("div", { class: "buttons", role: "group", "aria-label": t("metric") }, buttons), place, note(trendNote()));
}

/** Return the daily, weekly or monthly table of the range. */
function reports() {
  const place = h("div");
  const kinds = ["day", "week", "month"];
  const show = (unit) => {
    for (const [number, button] of buttons.entries()) button.setAttribute("aria-pressed", String(kinds[number] === unit));
    place.replaceChildren(reportOf(unit));
  };
  const buttons = kinds.map((unit) => h("button", { type: "button", click: () => show(unit) }, t(`report_${unit}`)));
  show("day");
  return section(t("reports"), h("div", { class: "buttons", role: "group", "aria-label": t("reports") }, buttons), place);
}

const REPORTED = ["readers", "sharers", "articles_published", "new_followers", "lost_followers", "net_followers", "followers", "messages", "senders", "messages_per_sender", "calls", "failures"];
const reported = () => REPORTED.filter((metric) => DATA.daily[metric] || (metric === "net_followers" && has("followers")) || (metric === "messages_per_sender" && has("messages")));

function reportOf(unit) {
  if (unit === "day")
    return sortable(t("report_day"), [{ ...dayColumn, title: t("date") }, ...metricColumns(reported())], daysOfRange(), { file: fileName("days") });
  const list = wholeSteps(unit);
  const columns = reported().map((metric) => ({
    title: over(metric, choice.range).how === "mean" && !ofPeriod(unit, metric) ? t("per_day", { name: nameOf(metric) }) : nameOf(metric),
    value: (row) => row.values[metric],
    text: (row) => `${shown(metric, row.values[metric])}${row.open[metric] ? "*" : ""}`,
  }));
  const first = { title: t(unit), words: "date", value: (row) => row.label, text: (row) => (unit === "month" ? month(row.label) : span(row.label, row.last)) };
  return h("div", {}, sortable(t(`report_${unit}`), [first, ...columns], list, { file: fileName(`${unit}s`) }), note(t("report_note")));
}

/** Return whether WeChat counts a metric for weeks and months itself: distinct users of days can't be added. */
const ofPeriod = (unit, metric) => ["messages", "senders", "messages_per_sender"].includes(metric);

/** Return the weeks or months that overlap the range and are over, each with its values; null where a day is missing. */
function wholeSteps(unit) {
  const whole = steps({ from: Math.min(0, startOf(unit, isoOf(choice.range.from))), to: LAST }, unit);
  const counted = DATA[`${unit}s`];
  const found = [];
  for (const step of whole) {
    const label = labelOf(unit, step.label);
    const [from, to] = [placeOf(label), placeOf(lastOf(unit, label))];
    if (to < choice.range.from || from > choice.range.to || to > LAST) continue;
    const [row, opened] = [{}, {}];
    for (const metric of reported()) {
      const result = over(metric, { from, to });
      row[metric] = result.known === to - from + 1 || metric === "followers" ? result.value : null;
      opened[metric] = knownIn(metric, { from, to }).some((place) => isOpen(metric, place));
    }
    if (has("messages")) {
      const at = counted.labels.indexOf(label);
      row.messages = at < 0 ? null : counted.messages[at];
      row.senders = at < 0 ? null : counted.senders[at];
      row.messages_per_sender = row.messages === null || row.senders === null ? null : row.senders ? row.messages / row.senders : 0;
    }
    found.push({ label, last: isoOf(to), values: row, open: opened });
  }
  return found;
}

const labelOf = (unit, iso) => (unit === "month" ? `${iso.slice(0, 7)}-01` : toIso(toTime(iso) - weekdayOf(iso) * DAY_MS));
const lastOf = (unit, label) => {
  const date = new Date(toTime(label));
  return unit === "week" ? toIso(toTime(label) + 6 * DAY_MS) : toIso(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0));
};
const startOf = (unit, iso) => placeOf(labelOf(unit, iso));

function overviewPage() {
  const metrics = keysShown();
  if (!metrics.length) return [section(t("overview"), paragraph(t("only_interface")))];
  return [missingNotice(), keyFigures(), doubts(), section(t("figures_of_range"), summary(metrics)), trendSection(), reports()];
}

// --- followers -------------------------------------------------------------------------------------------------------

function followersPage() {
  const { range } = choice;
  if (!over("new_followers", range).known && !over("followers", range).known) return [section(t("followers"), paragraph(t("nothing_in_range")))];
  const channels = [...new Set([...Object.keys(DATA.channels.new), ...Object.keys(DATA.channels.lost)])];
  const totals = channels.map((word) => {
    const [gained, lost] = ["new", "lost"].map((kind) => kindsIn({ [word]: DATA.channels[kind][word] || { at: 0, values: [] } }, "new_followers", range)[0]?.value || 0);
    return { word, name: pick(DATA.names_of_channels[word]), value: gained, lost, net: gained - lost };
  }).filter((each) => each.value || each.lost);
  const whole = sum(totals.map((each) => each.value));
  const best = [...totals].sort((one, two) => two.value - one.value)[0];
  const columns = [
    { title: t("channel"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: nameOf("new_followers"), value: (row) => row.value },
    { title: t("share"), value: (row) => (whole ? (100 * row.value) / whole : 0), text: (row) => shareBar(whole ? (100 * row.value) / whole : 0) },
    { title: nameOf("lost_followers"), value: (row) => row.lost },
    { title: nameOf("net_followers"), value: (row) => row.net, text: (row) => shown("net_followers", row.net) },
  ];
  const daily = channels.map((word) => ({
    title: `${nameOf("new_followers")}：${pick(DATA.names_of_channels[word])}`.replace("：", language === "zh" ? "：" : ": "),
    value: (row) => (values("new_followers")[row.place] === null ? null : valuesOfKind(DATA.channels.new[word] || { at: 0, values: [] }, row.place)),
  }));
  return [
    section(t("figures_of_range"), summary(["new_followers", "lost_followers", "net_followers", "followers"])),
    section(nameOf("followers"), figure(t("trend_label", { metric: nameOf("followers"), range: rangeText() }), trendOf("followers", choice, { marks: articleMarks() })), note(trendNote())),
    section(t("follower_trend"), figure(t("follower_trend"), linesOf(range, [lineOf("new_followers"), lineOf("lost_followers")], { zero: true })), note(lineNote())),
    section(t("channels"), best && best.value ? paragraph(t("best_channel", { name: best.name, share: percent((100 * best.value) / whole) })) : null,
      totals.length ? [
        figure(t("channels"), stackOf(DATA.channels.new, "new_followers", DATA.names_of_channels, range)),
        note(unitNote("bar")),
        sortable(t("channels"), columns, totals, { sort: 1, file: fileName("channels") })] : paragraph(t("nobody_came"))),
    details("followers", [...metricColumns(["new_followers", "lost_followers", "net_followers", "followers"]), ...daily]),
  ];
}

// --- articles --------------------------------------------------------------------------------------------------------

const titleOf = (article) => article.title || t("untitled", { id: article.article });

/** Return the published articles as marks of a chart. */
const articleMarks = () => (DATA.articles || []).map((article) => ({ place: placeOf(article.published_on), text: isolated(titleOf(article)) }));

function median(list) {
  const sorted = list.filter((each) => each !== null).sort((one, two) => one - two);
  const middle = sorted.length >> 1;
  return sorted.length ? (sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2) : null;
}

/** Return the typical readers of the account's articles up to each day after publishing. */
function typicalCurve() {
  const byDay = new Map();
  for (const { curve } of DATA.articles) for (const [at, readers] of curve) byDay.set(at, [...(byDay.get(at) || []), readers]);
  return [...byDay].sort(([one], [two]) => one - two).map(([at, list]) => [at, median(list)]);
}

const shareRate = (article) => (article.readers ? (100 * article.sharers) / article.readers : null);
const hundred = (value) => (value === null ? null : 100 * value);

/** Return readers against those of a typical article of the same age. */
function againstTypical(article, typical) {
  const at = article.curve.length ? article.curve[article.curve.length - 1] : null;
  const usual = at && typical.get(at[0]);
  return usual ? (100 * (at[1] - usual)) / usual : null;
}

function articleDetail(article, typical) {
  const sources = shares(article.sources.map(([word, value]) => ({ word, value })).sort((one, two) => two.value - one.value), (word) => pick(DATA.names_of_scenes[word]));
  const jumps = article.jumps.map(([position, rate]) => [t("part", { from: 20 * (position - 1), to: 20 * position }), percent(100 * rate)]);
  return h("div", { class: "article" },
    article.curve.length > 1 ? figure(t("curve_label", { title: titleOf(article) }), curveOf(article.curve, typical)) : note(t("no_curve")),
    h("div", { class: "columns" },
      sources.length ? plain(t("sources"), [t("source"), t("readers"), t("share")], sources.map((each) => [each.name, number(each.value), shareBar(each.share)])) : null,
      jumps.length ? plain(t("jumps"), [t("left_at"), t("share")], jumps) : null),
    note(joined([t("article_facts", { likes: number(article.likes), hearts: number(article.hearts), comments: number(article.comments), saves: number(article.saves) }),
      article.notified === null ? "" : t(article.notified ? "notified" : "not_notified")])),
    /^https?:\/\//.test(article.url || "") ? h("p", {}, h("a", { href: article.url, target: "_blank", rel: "noopener noreferrer" }, t("open_article"))) : null);
}

function articleTable(list) {
  const curve = typicalCurve();
  const typical = new Map(curve);
  const usualShare = median(DATA.articles.map(shareRate));
  const place = h("div", { "aria-live": "polite" });
  const open = (article) => {
    const heading = h("h3", { tabindex: "-1" }, bidi(titleOf(article)));
    place.replaceChildren(heading, articleDetail(article, curve));
    drawAll();
    heading.focus();
    heading.scrollIntoView({ block: "nearest" });
  };
  const columns = [
    { title: t("article"), words: "title", value: titleOf, text: (row) => h("button", { type: "button", class: "link", click: () => open(row) }, bidi(titleOf(row))) },
    { title: t("published_on"), words: "date", value: (row) => row.published_on, text: (row) => day(row.published_on) },
    { title: t("readers"), value: (row) => row.readers, text: (row) => `${number(row.readers)}${row.final ? "" : "*"}` },
    { title: t("against_typical"), value: (row) => againstTypical(row, typical), text: (row) => signedPercent(againstTypical(row, typical)) },
    { title: t("brought"), value: (row) => row.new_followers },
    { title: t("share_rate"), value: shareRate, text: (row) => `${percent(shareRate(row))}${usualShare !== null && shareRate(row) > usualShare ? " ▲" : ""}` },
    { title: t("finish_rate"), value: (row) => hundred(row.finish_rate), text: (row) => percent(hundred(row.finish_rate)) },
    { title: t("minutes"), value: (row) => row.minutes_per_reader, text: (row) => number(row.minutes_per_reader) },
  ];
  return [sortable(t("articles_of_range"), columns, list, { sort: 2, file: fileName("articles"), limit: 10 }), place,
    note(joined([t("articles_note", { share: percent(usualShare) }), list.some((each) => !each.final) ? t("open_note") : ""]))];
}

const signedPercent = (value) => (value === null ? "–" : Math.abs(value) < 0.5 ? t("unchanged") : `${value > 0 ? "+" : "−"}${percent(Math.abs(value), 0)}`);

/** Return a title that can't change the direction of the text around it: as an element, or as text. */
const bidi = (text) => h("bdi", {}, text);
const isolated = (text) => `\u2068${text}\u2069`;

function articlesPage() {
  const { range } = choice;
  const published = DATA.articles.filter((each) => placeOf(each.published_on) >= range.from && placeOf(each.published_on) <= range.to);
  const reading = over("readers", range).known;
  if (!reading && !published.length) return [section(t("articles"), paragraph(t("nothing_in_range_articles", { first: day(DATA.articles_start) })))];
  const most = (value) => [...published].filter((each) => value(each) !== null).sort((one, two) => value(two) - value(one))[0];
  const [read, brought] = [most((each) => each.readers), most((each) => each.new_followers)];
  const sentence = joined([
    t("published_count", { count: number(published.length) }),
    read ? t("most_read", { title: isolated(titleOf(read)), readers: number(read.readers) }) : "",
    brought && brought.new_followers ? t("most_brought", { title: isolated(titleOf(brought)), followers: number(brought.new_followers) }) : "",
  ]);
  const sources = shares(kindsIn(DATA.sources, "readers", range), (word) => pick(DATA.names_of_sources[word]));
  const columns = [
    { title: t("source"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: t("readers_per_day"), value: (row) => row.value / reading },
    { title: t("share"), value: (row) => row.share, text: (row) => shareBar(row.share) },
  ];
  return [
    section(t("figures_of_range"), summary(["readers", "sharers", "share_rate", "articles_published", "likes", "hearts", "comments", "saves"])),
    section(t("articles_of_range"), paragraph(sentence), published.length ? articleTable(published) : null),
    section(t("readers_trend"), figure(t("trend_label", { metric: nameOf("readers"), range: rangeText() }), trendOf("readers", choice, { marks: articleMarks(), zero: true })), note(trendNote())),
    sources.length ? section(t("sources"), sortable(t("sources"), columns, sources, { sort: 1, file: fileName("sources") }), note(t("sources_note"))) : null,
    details("reading", metricColumns(["readers", "sharers", "likes", "hearts", "comments", "saves", "articles_published"])),
  ];
}

// --- messages --------------------------------------------------------------------------------------------------------

const hoursAt = (place) => {
  const at = place - DATA.hours.at;
  const found = at >= 0 && at < DATA.hours.values.length ? DATA.hours.values[at] : null;
  return found === 0 ? Array(24).fill(0) : found;
};

/** Return the mean of the messages per hour of each weekday and hour in a range. */
function heatCells(range) {
  const days = Array(7).fill(0);
  const sums = Array.from({ length: 7 }, () => Array(24).fill(0));
  for (let place = range.from; place <= range.to; place++) {
    const hours = hoursAt(place);
    if (!hours) continue;
    const weekdayHere = weekdayOf(isoOf(place));
    days[weekdayHere]++;
    hours.forEach((count, hour) => { sums[weekdayHere][hour] += count; });
  }
  return sums.flatMap((list, at) => (days[at] ? list.map((value, hour) => ({ weekday: at, hour, v: value / days[at] })) : []));
}

/** Return the percentage of the senders who sent more than five messages, over a range. */
function frequentShare(range) {
  const counts = Object.fromEntries(kindsIn(DATA.intervals, "senders", range).map((each) => [each.word, each.value]));
  const whole = sum(Object.values(counts));
  return whole ? (100 * (whole - (counts["1-5"] || 0))) / whole : knownIn("senders", range).length ? 0 : null;
}

function hourlyReport() {
  let newest = LAST;
  while (newest >= 0 && !hoursAt(newest)) newest--;
  if (newest < 0) return section(t("hourly"), paragraph(t("no_hours")));
  const hours = hoursAt(newest);
  const usual = [];
  for (let back = 7; back <= 56; back += 7) if (newest - back >= 0 && hoursAt(newest - back)) usual.push(hoursAt(newest - back));
  const typical = usual.length >= 3 ? hours.map((_, hour) => median(usual.map((each) => each[hour]))) : null;
  const iso = isoOf(newest);
  const list = hours.map((count, hour) => ({ hour, count, usual: typical ? typical[hour] : null }));
  const columns = [
    { title: t("hour"), words: "date", value: (row) => row.hour, text: (row) => t("hour_of", { hour: row.hour, next: row.hour + 1 }) },
    { title: nameOf("messages"), value: (row) => row.count },
    ...(typical ? [{ title: t("usual_hour"), value: (row) => row.usual }] : []),
  ];
  return section(t("hourly_of", { day: day(iso), weekday: weekday(iso) }),
    figure(t("hourly"), hoursOf(hours, nameOf("messages"), typical, t("usual_hour"))),
    h("details", {}, h("summary", {}, t("hourly")), sortable(t("hourly"), columns, list, { down: false, file: `${DATA.account}_hours_${iso}.csv` })));
}

function messagesPage() {
  const { range } = choice;
  if (!over("messages", range).known) return [section(t("messages"), paragraph(t("nothing_in_range"))), hourlyReport()];
  const types = shares(kindsIn(DATA.types, "messages", range), (word) => pick(DATA.names_of_types[word]));
  const typeColumns = [
    { title: t("type"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: nameOf("messages"), value: (row) => row.value },
    { title: t("share"), value: (row) => row.share, text: (row) => shareBar(row.share) },
  ];
  const cells = heatCells(range);
  const busiest = [...cells].sort((one, two) => two.v - one.v)[0];
  const frequent = frequentShare(range);
  const intervals = shares(Object.keys(DATA.intervals).map((word) => ({ word, value: kindsIn({ [word]: DATA.intervals[word] }, "senders", range)[0]?.value || 0 })), (word) => pick(DATA.names_of_intervals[word]));
  const sendersKnown = over("senders", range).known;
  const daily = Object.keys(DATA.types).map((word) => ({ title: pick(DATA.names_of_types[word]), value: (row) => (values("messages")[row.place] === null ? null : valuesOfKind(DATA.types[word], row.place)) }));
  const spread = Object.keys(DATA.intervals).map((word) => ({ title: t("senders_of", { interval: pick(DATA.names_of_intervals[word]) }), value: (row) => (values("senders")[row.place] === null ? null : valuesOfKind(DATA.intervals[word], row.place)) }));
  return [
    section(t("figures_of_range"), summary(["messages", "senders", "messages_per_sender"])),
    section(t("message_trend"), figure(t("trend_label", { metric: nameOf("messages"), range: rangeText() }), trendOf("messages", choice, { marks: articleMarks(), zero: true })), note(trendNote())),
    section(t("types"), types.length ? h("div", { class: "columns wide-first" },
      h("div", {}, figure(t("types"), stackOf(DATA.types, "messages", DATA.names_of_types, range)), note(unitNote("bar"))),
      sortable(t("types"), typeColumns, types, { sort: 1, file: fileName("types") })) : paragraph(t("no_messages"))),
    section(t("hours"), busiest && busiest.v ? [
      paragraph(t("busiest", { weekday: t(`weekday_${busiest.weekday + 1}`), hour: busiest.hour, next: busiest.hour + 1, messages: number(Math.round(10 * busiest.v) / 10) })),
      figure(t("hours"), heatOf(cells)), note(t("hours_note"))] : paragraph(t("no_hours_in_range"))),
    hourlyReport(),
    section(t("frequent"), over("senders", range).value ? [
      paragraph(t("frequent_share", { share: percent(frequent) })),
      figure(t("frequent"), linesOf(range, [{ name: t("frequent"), value: frequentShare, text: (value) => percent(value) }], { height: 160, zero: true })),
      plain(t("frequent"), [t("interval"), t("senders_in_range"), t("share")], intervals.map((each) => [each.name, number(each.value / sendersKnown), shareBar(each.share)]))] : paragraph(t(sendersKnown ? "no_messages" : "nothing_in_range"))),
    details("messages", [...metricColumns(["messages", "senders", "messages_per_sender"]), ...daily, ...spread]),
  ];
}

// --- interface -------------------------------------------------------------------------------------------------------

function interfacePage() {
  const { range } = choice;
  const { date, rows: list } = DATA.calls_by_hour;
  const byHour = Object.fromEntries(list.map(([hour, ...rest]) => [hour, rest]));
  const columns = [
    { title: t("hour"), words: "date", value: (row) => row[0], text: (row) => t("hour_of", { hour: row[0], next: row[0] + 1 }) },
    ...["calls", "failures", "mean_ms", "max_ms"].map((metric, place) => ({ title: nameOf(metric), value: (row) => row[place + 1] })),
  ];
  const hourly = date ? section(t("interface_hours", { day: day(date), weekday: weekday(date) }),
    figure(t("interface_hourly"), hoursOf([...Array(24).keys()].map((hour) => (byHour[hour] || [0])[0]), nameOf("calls"))),
    h("details", {}, h("summary", {}, t("interface_hourly")), sortable(t("interface_hourly"), columns, list, { down: false, file: `${DATA.account}_interface_hours_${date}.csv` }))) : null;
  if (!over("calls", range).known) return [section(t("interface"), paragraph(t("nothing_in_range"))), hourly];
  return [
    section(t("figures_of_range"), summary(["calls", "failures", "failure_rate", "mean_ms", "max_ms"])),
    section(t("calls_trend"), figure(t("trend_label", { metric: nameOf("calls"), range: rangeText() }), trendOf("calls", choice, { zero: true }))),
    section(nameOf("failures"), figure(t("trend_label", { metric: nameOf("failures"), range: rangeText() }), trendOf("failures", choice, { height: 160, zero: true }))),
    section(nameOf("mean_ms"), figure(t("trend_label", { metric: nameOf("mean_ms"), range: rangeText() }), trendOf("mean_ms", choice, { height: 160, zero: true })), note(lineNote())),
    hourly,
    details("interface", metricColumns(["calls", "failures", "failure_rate", "mean_ms", "max_ms"])),
  ];
}

// --- coverage --------------------------------------------------------------------------------------------------------

const LETTERS = { L: "landed", O: "open", E: "empty", I: "empty", M: "missing", P: "pending" };
const WORST = ["missing", "rejected", "pending", "revised", "open", "landed", "empty"];

function following(period, iso) {
  if (period === "month") return lastOf("month", iso) && toIso(toTime(lastOf("month", iso)) + DAY_MS);
  return toIso(toTime(iso) + (period === "week" ? 7 : 1) * DAY_MS);
}

/** Return the labels of an endpoint, each with its state. */
const labelsOf = (() => {
  const cache = new Map();
  return (each) => {
    if (!cache.has(each.endpoint)) {
      const list = [];
      let label = each.first;
      for (const [, letter, count] of each.states.matchAll(/([A-Z])(\d+)/g))
        for (let left = Number(count); left > 0; left--) {
          list.push({ label, state: LETTERS[letter] });
          label = following(each.period, label);
        }
      cache.set(each.endpoint, list);
    }
    return cache.get(each.endpoint);
  };
})();

function coverageOf(each) {
  const [first, last] = [isoOf(choice.range.from), isoOf(choice.range.to)];
  const begins = each.period === "day" ? first : labelOf(each.period, first);
  const due = labelsOf(each).filter(({ label }) => label >= begins && label <= last);
  const count = (state) => due.filter((one) => one.state === state).length;
  const gaps = [];
  for (const { label, state } of due)
    if (state === "missing") {
      const gap = gaps[gaps.length - 1];
      if (gap && following(each.period, gap[1]) === label) gap[1] = label;
      else gaps.push([label, label]);
    }
  const marked = (list) => list.filter((label) => label >= begins && label <= last).length;
  return { each, due: due.length, landed: count("landed") + count("open"), open: count("open"), empty: count("empty"), missing: count("missing"), pending: count("pending"), rejected: marked(each.rejected), revised: marked(each.revised), gaps: gaps.reverse() };
}

function calendarDays() {
  const daily = DATA.coverage.filter((each) => each.period === "day");
  const byDay = new Map();
  for (const each of daily) {
    const [rejected, revised] = [new Set(each.rejected), new Set(each.revised)];
    for (const { label, state } of labelsOf(each)) {
      const place = placeOf(label);
      if (place < choice.range.from || place > choice.range.to) continue;
      const mark = state !== "missing" && rejected.has(label) ? "rejected" : state !== "missing" && state !== "pending" && revised.has(label) ? "revised" : state;
      byDay.set(place, [...(byDay.get(place) || []), [mark, pick(each.name)]]);
    }
  }
  return [...byDay].map(([place, found]) => {
    const state = WORST.find((one) => found.some(([mark]) => mark === one));
    const concerned = found.filter(([mark]) => mark === state).map(([, name]) => name);
    return { place, state, text: ["landed", "empty"].includes(state) ? t("all_endpoints") : listed(concerned) };
  });
}

const gapText = (each, [first, last]) => (each.period === "month" ? (first === last ? month(first) : t("span", { first: month(first), last: month(last) })) : each.period === "week" ? span(first, lastOf("week", last)) : span(first, last));

/** Count what is missing and what is not published yet, whatever the range, and the first and last that is missing. */
function countMissing() {
  let [missing, pending, first, last] = [0, 0, null, null];
  for (const each of DATA.coverage)
    for (const { label, state } of labelsOf(each)) {
      pending += state === "pending";
      if (state !== "missing") continue;
      missing++;
      first = first === null || label < first ? label : first;
      last = last === null || label > last ? label : last;
    }
  return { missing, pending, first, last };
}

/** Return a note that data is missing, with a link to the page that says which. */
function missingNotice() {
  const { missing, first, last } = countMissing();
  if (!missing) return null;
  const text = t("missing_labels", { missing: number(missing), span: span(first, last) });
  return h("div", { class: "notice", role: "note" }, h("p", {}, text, " ", h("a", { href: fragment({ page: "coverage" }) }, t("see_coverage"))));
}

/** Return what is missing in all, whatever the range, and the command that fetches it. */
function missingText() {
  const { missing, pending, first, last } = countMissing();
  const command = `wx-datacube backfill --account ${DATA.account}${first ? ` --start ${first} --end ${last}` : ""}`;
  return [
    paragraph(missing ? t("missing_labels", { missing: number(missing), span: span(first, last) }) : t("whole")),
    missing ? h("p", {}, t("fetch"), " ", h("code", {}, command)) : null,
    pending ? paragraph(t("waiting", { count: number(pending) })) : null,
  ];
}

function coveragePage() {
  const list = DATA.coverage.map(coverageOf);
  const daysHere = calendarDays();
  const columns = [
    { title: t("endpoint"), words: "text", value: (row) => pick(row.each.name), text: (row) => h("span", {}, pick(row.each.name), h("br"), h("code", { class: "soft" }, row.each.endpoint)) },
    ...["due", "landed", "empty", "missing", "pending", "open", "rejected", "revised"].map((name) => ({ title: t(`count_${name}`), value: (row) => row[name] })),
  ];
  const gaps = list.filter((row) => row.gaps.length).map((row) => [pick(row.each.name),
    listed([...row.gaps.slice(0, 8).map((gap) => gapText(row.each, gap)), ...(row.gaps.length > 8 ? [t("more_gaps", { count: row.gaps.length - 8 })] : [])])]);
  return [
    section(t("coverage"), missingText(), DATA.families_off.length ? paragraph(t("families_off", { families: listed(DATA.families_off.map(pick)) })) : null),
    daysHere.length ? section(t("calendar"), figure(t("calendar"), calendarOf(daysHere)), note(t("calendar_note"))) : null,
    gaps.length ? section(t("gaps"), plain(t("gaps"), [t("endpoint"), t("gaps")], gaps, false)) : null,
    section(t("endpoints"), sortable(t("endpoints"), columns, list, { sort: 4, file: fileName("coverage") })),
  ];
}

// --- the page --------------------------------------------------------------------------------------------------------

const PAGE_OF = { overview: overviewPage, followers: followersPage, articles: articlesPage, messages: messagesPage, interface: interfacePage, coverage: coveragePage };

/** Call `apply` when a date is chosen. Each typed digit makes another date, so a typed one waits for Enter or the focus. */
function whenChosen(input, apply) {
  let [old, typing] = ["", false];
  const done = () => {
    typing = false;
    if (input.value) apply();
    else input.value = old;
  };
  input.addEventListener("focus", () => { old = input.value; });
  input.addEventListener("keydown", ({ key, altKey }) => {
    if (key === "Enter" && typing) done();
    else if (!altKey && /^(\d|ArrowUp|ArrowDown|Backspace|Delete)$/.test(key)) typing = true;
  });
  input.addEventListener("change", () => { if (!typing) done(); });
  input.addEventListener("blur", () => { if (typing) done(); });
}

/** Return the controls of the range, and a function that shows the current choice in them. */
function controls() {
  const lengths = [...LENGTHS.filter((days) => days < DAYS), "all"];
  const buttons = lengths.map((days) => [days, h("button", { type: "button", click: () => choose({ days, from: null, to: null, vs_from: null, vs_to: null }) }, t(`last_${days}`))]);
  const input = (name, label) => h("input", { type: "date", name, min: DATA.first, max: DATA.last, "aria-label": label });
  const dates = [input("from", t("first_day")), input("to", t("last_day"))];
  const before = [input("vs_from", t("compared_first")), input("vs_to", t("compared_last"))];
  const read = (inputs, days) => () => {
    if (inputs.every((each) => each.value)) choose({ ...Object.fromEntries(inputs.map((each) => [each.name, each.value])), ...days });
  };
  for (const each of dates) whenChosen(each, read(dates, { days: null }));
  for (const each of before) whenChosen(each, read(before, {}));
  const reset = h("button", { type: "button", click: () => { before[0].focus(); choose({ vs_from: null, vs_to: null }); } }, t("reset"));
  const nothing = note(t("nothing_before"));
  const comparison = h("fieldset", {}, h("legend", {}, t("compared_with")), h("div", { class: "dates" }, before[0], h("span", {}, t("to")), before[1], reset), nothing);
  const show = () => {
    const { page, range, before: { from, to }, which, free } = choice;
    for (const [days, button] of buttons) button.setAttribute("aria-pressed", String(which === days));
    const shownDates = [range.from, range.to, ...(to < 0 ? [null, null] : [from, to])];
    [...dates, ...before].forEach((each, place) => {
      const value = shownDates[place] === null ? "" : isoOf(shownDates[place]);
      if (each.value !== value) each.value = value;
    });
    [reset.hidden, nothing.hidden, comparison.hidden] = [!free, to >= 0, page === "coverage"];
  };
  const element = h("div", { class: "controls" },
    h("fieldset", {}, h("legend", {}, t("range")), h("div", { class: "buttons" }, buttons.map(([, button]) => button)), h("div", { class: "dates" }, dates[0], h("span", {}, t("to")), dates[1])),
    comparison);
  return { element, show };
}

function head() {
  const made = DATA.requested ? t("updated", { updated: DATA.requested }) : "";
  const toggle = h("a", { class: "language", href: fragment({ lang: other() }), lang: other() === "zh" ? "zh-CN" : "en" }, WORDS.own_name[LANGUAGES.indexOf(other())]);
  return h("header", {}, h("div", { class: "top" }, h("h1", {}, bidi(DATA.title)), toggle),
    h("p", { class: "soft" }, joined([made, t("times")])));
}

function notice() {
  const { newest } = DATA;
  let text = "";
  if (!DATA.requested || newest === null) text = t("nothing", { account: DATA.account });
  else if (Math.round((toTime(DATA.now.slice(0, 10)) - toTime(newest)) / DAY_MS) > 3)
    text = t("stale", { newest: day(newest), days: Math.round((toTime(DATA.now.slice(0, 10)) - toTime(newest)) / DAY_MS), account: DATA.account });
  return text ? h("div", { class: "notice", role: "note" }, h("p", {}, text)) : null;
}

let drawnIn = null;
let shownControls = null;

/** Build what does not depend on the range: the head, the pages' links and the controls, which keep the focus. */
function build() {
  drawnIn = language;
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("title", { title: DATA.title });
  const filled = DATA.newest !== null;
  shownControls = filled ? controls() : null;
  document.body.replaceChildren(h("main", {}, h("div", { id: "head" }), notice(), filled ? [h("nav", { "aria-label": t("pages") }), shownControls.element] : null, h("div", { id: "page" })));
}

function render() {
  const before = choice;
  choice = chosen();
  language = choice.language;
  const toggled = document.activeElement?.className === "language";
  delete document.body.dataset.drawn;
  forgetCharts();
  ids = 0;
  if (drawnIn !== language) build();
  document.getElementById("head").replaceChildren(head());
  if (toggled) document.querySelector(".language").focus();
  if (shownControls) {
    const links = pagesShown().map((page) => h("a", { href: fragment({ page }), "aria-current": page === choice.page ? "page" : null, "data-page": page }, t(page)));
    const focused = document.activeElement?.dataset?.page;
    document.querySelector("nav").replaceChildren(...links);
    links.find((link) => link.dataset.page === focused)?.focus();
    shownControls.show();
    document.getElementById("page").replaceChildren(...PAGE_OF[choice.page]().filter(Boolean));
  }
  if (before.page !== choice.page) scrollTo(0, 0);
  drawAll();
}

addEventListener("hashchange", render);
addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details")) {
  each.open = true;
  each.dispatchEvent(new Event("toggle")); // the browser's own comes after printing
} });
render();
