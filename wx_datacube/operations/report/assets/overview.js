// Overview: yesterday's key figures, what is unusual, the trend, and tables by day, week and month.
"use strict";

const KEYS = ["readers", "net_followers", "followers", "messages", "senders", "messages_per_sender"];
const keysShown = () =>
  KEYS.filter(
    (metric) =>
      DATA.daily[metric] || (metric === "net_followers" && has("followers")) || (RATIOS[metric] && has("messages")),
  );

/** Return the newest day with any of the key figures. */
function keyDay() {
  let newest = -1;
  for (const metric of keysShown())
    for (let place = LAST; place > newest; place--) if (values(metric)[place] !== null) newest = place;
  return newest;
}

function card(metric, place) {
  const list = values(metric);
  const value = list[place];
  const past = [1, 7, 30].map((back) => [
    t(`before_${back}`),
    changed(metric, value, place - back >= 0 ? list[place - back] : null),
  ]);
  const known = value === null ? list.slice(0, place).findLastIndex((each) => each !== null) : place;
  const newest =
    value === null && known >= 0
      ? t("newest_value", { day: day(isoOf(known)), value: shown(metric, list[known]) })
      : "";
  return h(
    "div",
    { class: "card" },
    h("h3", {}, nameOf(metric)),
    h("p", { class: "value" }, shown(metric, value), isOpen(metric, place) ? h("span", { class: "open" }, "*") : ""),
    value === null
      ? note(newest || t("no_data"))
      : h(
          "dl",
          {},
          past.map(([when, text]) => h("div", {}, h("dt", {}, when), h("dd", {}, text))),
        ),
    sparkline(list.slice(Math.max(place - 29, 0), place + 1)),
  );
}

function keyFigures() {
  const place = keyDay();
  if (place < 0) return null;
  const iso = isoOf(place);
  const title =
    place === LAST
      ? t("yesterday", { day: day(iso), weekday: weekday(iso) })
      : t("newest_day", { day: day(iso), weekday: weekday(iso) });
  const open = keysShown().some((metric) => isOpen(metric, place));
  return section(
    title,
    h(
      "div",
      { class: "cards", style: `--count: ${keysShown().length}` },
      keysShown().map((metric) => card(metric, place)),
    ),
    note(joined([open ? t("open_note") : "", t("spark_note")])),
  );
}

/** Return what is unusual about the newest day, whatever the range, and what was to be expected. */
function doubts() {
  if (!has("messages") && !has("followers")) return null;
  const { doubts: found, compared } = DATA;
  const items = found.map((each) =>
    h(
      "li",
      {},
      h("strong", {}, dayName(each.date)),
      " ",
      pick(each.text),
      language === "zh" ? "。" : ".",
    ),
  );
  const isUnusual = ({ figure, range: [low, high] }) => figure < low || figure > high;
  const rowsOf = compared.map((each) => [
    t(`expected_${each.metric}`),
    dayName(each.date),
    number(each.figure),
    number(each.expected),
    t("from_to", { from: number(each.range[0]), to: number(each.range[1]) }),
    t(isUnusual(each) ? "outside" : "usual"),
    pick(each.basis),
  ]);
  return section(
    t("unusual"),
    items.length
      ? h("ul", { class: "plain" }, items)
      : paragraph(t(compared.length ? "nothing_unusual" : "too_little")),
    rowsOf.length
      ? plain(
          t("unusual"),
          [t("metric"), t("date"), t("figure"), t("expected"), t("usual_range"), t("verdict"), t("compared_days")],
          rowsOf,
        )
      : null,
    note(t("unusual_note")),
  );
}

const lineNote = () => joined([unitNote("point"), t("line_note")]);

/** Return what a point or bar of the range's charts is, if it is not a day. */
function unitNote(kind) {
  const unit = unitOf(choice.range);
  if (unit === "day") return "";
  return kind === "bar" ? t(`bar_${unit}`) : t(`point_${unit}`);
}

const trendNote = () =>
  joined([
    unitNote("point"),
    t("trend_note"),
    has("articles") && unitOf(choice.range) === "day" ? t("marks_note") : "",
  ]);

let trendMetric = null;

function trendSection() {
  const metrics = keysShown();
  trendMetric = metrics.includes(trendMetric) ? trendMetric : metrics[0];
  const place = h("div");
  const draw = () => {
    place.replaceChildren(
      figure(
        t("trend_label", { metric: nameOf(trendMetric), range: rangeText() }),
        trendOf(trendMetric, choice, { marks: articleMarks() }),
      ),
    );
  };
  const buttons = metrics.map((metric) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(metric === trendMetric),
        click: (event) => {
          trendMetric = metric;
          for (const each of event.target.parentNode.querySelectorAll("button"))
            each.setAttribute("aria-pressed", String(each === event.target));
          draw();
          drawAll();
        },
      },
      nameOf(metric),
    ),
  );
  draw();
  return section(
    t("trend"),
    h("div", { class: "buttons", role: "group", "aria-label": t("metric") }, buttons),
    place,
    note(trendNote()),
  );
}

let reportUnit = "day";

/** Return the daily, weekly or monthly table of the range. */
function reports() {
  const place = h("div");
  const kinds = ["day", "week", "month"];
  const show = (unit) => {
    reportUnit = unit;
    for (const [number, button] of buttons.entries())
      button.setAttribute("aria-pressed", String(kinds[number] === unit));
    place.replaceChildren(reportOf(unit));
  };
  const buttons = kinds.map((unit) => h("button", { type: "button", click: () => show(unit) }, t(`report_${unit}`)));
  show(reportUnit);
  return section(
    t("reports"),
    h("div", { class: "buttons", role: "group", "aria-label": t("reports") }, buttons),
    place,
  );
}

const REPORTED = [
  "readers",
  "sharers",
  "articles_published",
  "new_followers",
  "lost_followers",
  "net_followers",
  "followers",
  "messages",
  "senders",
  "messages_per_sender",
  "calls",
  "failures",
];
const reported = () =>
  REPORTED.filter(
    (metric) =>
      DATA.daily[metric] ||
      (metric === "net_followers" && has("followers")) ||
      (metric === "messages_per_sender" && has("messages")),
  );

function reportOf(unit) {
  if (unit === "day")
    return sortable(
      t("report_day"),
      [{ ...dayColumn, title: t("date") }, ...metricColumns(reported())],
      daysOfRange(),
      { file: fileName("days") },
    );
  const list = wholeSteps(unit);
  const columns = reported().map((metric) => ({
    title:
      over(metric, choice.range).how === "mean" && !ofPeriod(unit, metric)
        ? t("per_day", { name: nameOf(metric) })
        : nameOf(metric),
    value: (row) => row.values[metric],
    text: (row) => `${shown(metric, row.values[metric])}${row.open[metric] ? "*" : ""}`,
  }));
  const first = {
    title: t(unit),
    words: "date",
    value: (row) => row.label,
    text: (row) => (unit === "month" ? month(row.label) : span(row.label, row.last)),
  };
  return h(
    "div",
    {},
    sortable(t(`report_${unit}`), [first, ...columns], list, { file: fileName(`${unit}s`) }),
    note(t("report_note")),
  );
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
      row.messages_per_sender =
        row.messages === null || row.senders === null ? null : row.senders ? row.messages / row.senders : 0;
    }
    found.push({ label, last: isoOf(to), values: row, open: opened });
  }
  return found;
}

function overviewPage() {
  const metrics = keysShown();
  if (!metrics.length) return [section(t("overview"), paragraph(t("only_interface")))];
  return [
    missingNotice(),
    keyFigures(),
    doubts(),
    section(t("figures_of_range"), summary(metrics)),
    trendSection(),
    reports(),
  ];
}
