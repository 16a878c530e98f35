// Sections: what several pages have: the figures of the range, the details per day, and shares as bars.
"use strict";

let choice = chosen();

const rangeText = () => span(isoOf(choice.range.from), isoOf(choice.range.to));
const beforeText = () => span(isoOf(choice.before.from), isoOf(choice.before.to));

/** Return how many days of the range, and of the one it is compared with, are stored, for metrics that lack some. */
function knownNotes(metrics) {
  const lacking = new Map();
  for (const metric of metrics) {
    const text = knownText(metric);
    if (text) lacking.set(text, [...(lacking.get(text) || []), nameOf(metric)]);
  }
  return joined(
    [...lacking].map(([text, names]) =>
      names.length === metrics.length ? text : t("of_metrics", { names: listed(names), text }),
    ),
  );
}

function knownText(metric) {
  if (["mean_ms", "max_ms"].includes(metric)) return ""; // a day without calls has none
  const gaps = ({ from, to }) => {
    const days = Math.max(to - from + 1, 0);
    const { known } = over(metric, { from, to });
    return known < days ? { known: number(known), days: number(days) } : null;
  };
  const [now, before] = [gaps(choice.range), gaps(choice.before)];
  return joined([
    now && t("known_days", { known: now.known, days: now.days }),
    before && t("known_days_before", { known: before.known, days: before.days }),
  ]);
}

/** Return a metric's value over a range as text. */
const shownOver = (metric, { value, how }) => (how === "mean" ? mean(value) : shown(metric, value));

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
    return [
      label(metric),
      `${shownOver(metric, now)}${open}`,
      shownOver(metric, before),
      changeBetween(metric, choice.range, choice.before),
    ];
  });
  const open = list.some(([, value]) => value.endsWith("*"));
  const compared = choice.before.to >= 0;
  const heads = [t("metric"), rangeText(), ...(compared ? [beforeText(), t("change")] : [])];
  return [
    plain(
      t("figures_of_range"),
      heads,
      list.map((row) => row.slice(0, heads.length)),
    ),
    note(joined([knownNotes(metrics), open ? t("open_note") : ""])),
  ];
}

const dayColumn = {
  title: "",
  words: "date",
  value: (row) => row.date,
  text: (row) => dayName(row.date),
};

/** Return columns of metrics for rows that have their day's place. */
const metricColumns = (metrics) =>
  metrics.map((metric) => ({
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

let detailsAreOpen = false;

/** Return the table of details per day, which unfolds, and stays so when the range changes. */
function details(what, columns) {
  const place = h("div");
  const fill = ({ target }) => {
    detailsAreOpen = target.open;
    if (!place.childNodes.length)
      place.append(
        sortable(t("details"), [{ ...dayColumn, title: t("date") }, ...columns], daysOfRange(), {
          file: fileName(what),
        }),
      );
  };
  const id = `h${++ids}`;
  return h(
    "section",
    { "aria-labelledby": id },
    h("details", { toggle: fill, open: detailsAreOpen }, h("summary", {}, h("h2", { id }, t("details"))), place),
  );
}

const shares = (list, name) => {
  const whole = sum(list.map((each) => each.value));
  return list.map((each) => ({ ...each, name: name(each.word), share: (100 * each.value) / whole }));
};

/** Return a share as a bar with its percentage. */
const shareBar = (share) =>
  h(
    "span",
    { class: "share" },
    h("span", { class: "bar" }, h("span", { style: `width:${Math.min(share, 100).toFixed(1)}%` })),
    h("span", {}, percent(share)),
  );
