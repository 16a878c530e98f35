// Series: the figures of any range of days, and the range that the reader has chosen.
//
// Days are numbered from the first of the document; both ends of a range are included. The dictionary says what may be
// added up: other figures of a range are means over the days that are stored, followers are those of the last day.
"use strict";

const FIRST = toTime(DATA.first);
const DAYS = Math.round((toTime(DATA.last) - FIRST) / DAY_MS) + 1;
const LAST = DAYS - 1;
const isoOf = (place) => toIso(FIRST + place * DAY_MS);
const placeOf = (iso) => Math.round((toTime(iso) - FIRST) / DAY_MS);
const has = (family) => DATA.families.includes(family);

/** Restore what the file has in a shorter form (`page.py`). */
function unpack() {
  for (const [metric, { at, values }] of Object.entries(DATA.daily))
    DATA.daily[metric] = Array.from({ length: DAYS }, (_, place) => values[place - at] ?? null);
  if (!DATA.articles?.rows) return;
  const { columns, rows } = DATA.articles;
  DATA.articles = rows.map((row) => Object.fromEntries(columns.map((name, place) => [name, row[place]])));
  for (const article of DATA.articles)
    article.curve = article.curve
      .map((readers, place) => [place + 1, readers])
      .filter(([, readers]) => readers !== null);
}

unpack();

/** Rates, each with its parts: 100 means percent. */
const RATIOS = {
  messages_per_sender: ["messages", "senders", 1],
  failure_rate: ["failures", "calls", 100],
  share_rate: ["sharers", "readers", 100],
};

function derived(metric) {
  if (metric === "net_followers") {
    const { new_followers: gained, lost_followers: lost } = DATA.daily;
    return gained.map((each, place) => (each === null || lost[place] === null ? null : each - lost[place]));
  }
  const [part, base, scale] = RATIOS[metric];
  const [parts, bases] = [DATA.daily[part], DATA.daily[base]];
  return parts.map((each, place) =>
    each === null || bases[place] === null ? null : bases[place] ? (scale * each) / bases[place] : 0,
  );
}

const computed = {};

/** Return a metric's values by day; null where nothing is stored. */
function values(metric) {
  return DATA.daily[metric] || (computed[metric] ||= derived(metric));
}

const isOpen = (metric, place) => {
  const [part] = RATIOS[metric] || [metric === "net_followers" ? "new_followers" : metric];
  return (DATA.open[part] || []).includes(place);
};

const nameOf = (metric) => pick(DATA.metrics[metric].name);
const sum = (list) => list.reduce((all, each) => all + each, 0);

function knownIn(metric, { from, to }) {
  const found = [];
  for (let place = Math.max(from, 0); place <= Math.min(to, LAST); place++)
    if (values(metric)[place] !== null) found.push(place);
  return found;
}

/**
 * Return a metric over a range: its value, how many days of it are known, and `how` the value is made.
 *
 * `how` is `sum`, `mean` per day, `last` or `rate`. `perDay` is the value that may be compared with other lengths.
 */
function over(metric, range) {
  const places = knownIn(metric, range);
  const list = places.map((place) => values(metric)[place]);
  const known = list.length;
  if (!known) return { value: null, perDay: null, known, how: "none" };
  if (metric === "followers") return { value: list[known - 1], perDay: list[known - 1], known, how: "last" };
  if (metric === "max_ms") return { value: Math.max(...list), perDay: Math.max(...list), known, how: "rate" };
  if (RATIOS[metric] || metric === "mean_ms") {
    const value = metric === "mean_ms" ? weighted(places) : ratio(RATIOS[metric], places);
    return { value, perDay: value, known, how: "rate" };
  }
  const total = sum(list);
  if (DATA.metrics[metric].additive === "yes") return { value: total, perDay: total / known, known, how: "sum" };
  return { value: total / known, perDay: total / known, known, how: "mean" };
}

function ratio([part, base, scale], places) {
  const [parts, bases] = [part, base].map((name) => sum(places.map((place) => values(name)[place])));
  return bases ? (scale * parts) / bases : 0;
}

function weighted(places) {
  const weight = sum(places.map((place) => values("calls")[place]));
  return weight ? sum(places.map((place) => values("mean_ms")[place] * values("calls")[place])) / weight : null;
}

/**
 * Return the change from one range to another.
 *
 * Sums of unequal numbers of days are compared by day, and as they are if every day of both is stored.
 */
function changeBetween(metric, now, before) {
  const [one, two] = [over(metric, now), over(metric, before)];
  const change = changed(metric, one.value, two.value);
  if (one.how !== "sum" || two.how !== "sum" || one.known === two.known) return change;
  const perDay = t("by_day", { change: changed(metric, one.perDay, two.perDay) });
  const whole = one.known === now.to - now.from + 1 && two.known === before.to - before.from + 1;
  return whole ? t("change_and_by_day", { change, by_day: perDay }) : perDay;
}

const valuesOfKind = (kind, place) => {
  const at = place - kind.at;
  return at >= 0 && at < kind.values.length ? kind.values[at] : 0;
};

/** Return the sums of kinds over the days of a range on which `metric` is stored, largest first. */
function kindsIn(kinds, metric, range) {
  const places = knownIn(metric, range);
  return Object.entries(kinds)
    .map(([word, kind]) => ({ word, value: sum(places.map((place) => valuesOfKind(kind, place))) }))
    .filter((each) => each.value)
    .sort((one, two) => two.value - one.value);
}

function median(list) {
  const sorted = list.filter((each) => each !== null).sort((one, two) => one - two);
  const middle = sorted.length >> 1;
  return sorted.length ? (sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2) : null;
}

// --- steps of a chart ------------------------------------------------------------------------------------------------

/** Return the unit to draw a range by, so that even twelve years have about 150 steps. */
function unitOf({ from, to }) {
  const length = to - from + 1;
  return length <= 100 ? "day" : length <= 800 ? "week" : "month";
}

/** Return the days, weeks or months of a range, each with its own range and its first day. */
function steps(range, unit) {
  const found = [];
  for (let place = range.from; place <= range.to;) {
    const date = new Date(FIRST + place * DAY_MS);
    let end = place;
    if (unit === "week") end = place + 6 - ((date.getUTCDay() + 6) % 7);
    if (unit === "month") end = placeOf(toIso(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1))) - 1;
    found.push({ from: place, to: Math.min(end, range.to), label: isoOf(place) });
    place = end + 1;
  }
  return found;
}

/** Return the steps to draw of a range: whole weeks and months, since a part of one would look like a fall. */
function drawnSteps(range) {
  const unit = unitOf(range);
  const all = steps(range, unit);
  return unit === "day" ? all : all.filter((step) => isWhole(step, unit));
}

const isWhole = ({ label, to }, unit) => labelOf(unit, label) === label && lastOf(unit, label) === isoOf(to);

/** Return the text that names a step. */
function stepName(step) {
  return step.from === step.to ? dayName(step.label) : span(step.label, isoOf(step.to));
}

/** Return the first day of the week or month that a day is in. */
const labelOf = (unit, iso) =>
  unit === "month" ? `${iso.slice(0, 7)}-01` : toIso(toTime(iso) - weekdayOf(iso) * DAY_MS);
/** Return the last day of a week or month. */
const lastOf = (unit, label) => {
  const date = new Date(toTime(label));
  return unit === "week"
    ? toIso(toTime(label) + 6 * DAY_MS)
    : toIso(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0));
};
const startOf = (unit, iso) => placeOf(labelOf(unit, iso));

// --- the chosen range ------------------------------------------------------------------------------------------------

const LENGTHS = [7, 14, 30, 90, 365];
const PAGES = ["overview", "followers", "articles", "messages", "interface", "coverage"];
const pagesShown = () => PAGES.filter((page) => ["overview", "coverage"].includes(page) || has(page));
const inside = (place) => Math.min(Math.max(place, 0), LAST);

/** Return the range before another: of the same length, or the month before a whole month. */
function rangeBefore({ from, to }) {
  const [first, last] = [isoOf(from), isoOf(to)];
  const isMonth = labelOf("month", first) === first && lastOf("month", first) === last;
  const begin = isMonth ? startOf("month", isoOf(from - 1)) : from - (to - from + 1);
  return { from: Math.max(begin, 0), to: from - 1 };
}

/** Read the page, the range and the language from the URL's fragment; wrong parts of it count as absent. */
function chosen() {
  const given = new URLSearchParams(location.hash.slice(1));
  const dated = (name) => {
    const time = toTime(given.get(name)); // 31 February would be 3 March
    return !Number.isNaN(time) && toIso(time) === given.get(name) ? placeOf(given.get(name)) : null;
  };
  const page = pagesShown().includes(given.get("page")) ? given.get("page") : "overview";
  let [from, to] = [dated("from"), dated("to")];
  const days =
    given.get("days") === "all"
      ? "all"
      : LENGTHS.includes(Number(given.get("days")))
        ? Number(given.get("days"))
        : null;
  let which = days;
  if (from !== null && to !== null) [from, to, which] = [inside(Math.min(from, to)), inside(Math.max(from, to)), null];
  else if (!days && DATA.opens) [from, to, which] = [...DATA.opens.map((iso) => inside(placeOf(iso))), null];
  else {
    which = days ?? (DAYS > 30 ? 30 : "all");
    [from, to] = [which === "all" ? 0 : inside(LAST - which + 1), LAST];
  }
  const range = { from, to };
  const [beforeFrom, beforeTo] = [dated("vs_from"), dated("vs_to")];
  const free = beforeFrom !== null && beforeTo !== null;
  const before = free
    ? { from: inside(Math.min(beforeFrom, beforeTo)), to: inside(Math.max(beforeFrom, beforeTo)) }
    : rangeBefore(range);
  return {
    page,
    range,
    before,
    which,
    free,
    language: LANGUAGES.includes(given.get("lang")) ? given.get("lang") : DATA.language,
  };
}

/** Return the fragment of the current choice with some of it changed. */
function fragment(changes) {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) value === null ? given.delete(name) : given.set(name, value);
  return `#${given}`;
}

const choose = (changes) => {
  location.hash = fragment(changes);
};
