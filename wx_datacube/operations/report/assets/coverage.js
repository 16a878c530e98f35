// Coverage: what is missing and how to fetch it, a calendar, and the state of each endpoint.
"use strict";

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
  return {
    each,
    due: due.length,
    landed: count("landed") + count("open"),
    open: count("open"),
    empty: count("empty"),
    missing: count("missing"),
    pending: count("pending"),
    rejected: marked(each.rejected),
    revised: marked(each.revised),
    gaps: gaps.reverse(),
  };
}

function calendarDays() {
  const daily = DATA.coverage.filter((each) => each.period === "day");
  const byDay = new Map();
  for (const each of daily) {
    const [rejected, revised] = [new Set(each.rejected), new Set(each.revised)];
    for (const { label, state } of labelsOf(each)) {
      const place = placeOf(label);
      if (place < choice.range.from || place > choice.range.to) continue;
      const mark =
        state !== "missing" && rejected.has(label)
          ? "rejected"
          : state !== "missing" && state !== "pending" && revised.has(label)
            ? "revised"
            : state;
      byDay.set(place, [...(byDay.get(place) || []), [mark, pick(each.name)]]);
    }
  }
  return [...byDay].map(([place, found]) => {
    const state = WORST.find((one) => found.some(([mark]) => mark === one));
    const concerned = found.filter(([mark]) => mark === state).map(([, name]) => name);
    return { place, state, text: ["landed", "empty"].includes(state) ? t("all_endpoints") : listed(concerned) };
  });
}

const gapText = (each, [first, last]) =>
  each.period === "month"
    ? first === last
      ? month(first)
      : t("span", { first: month(first), last: month(last) })
    : each.period === "week"
      ? span(first, lastOf("week", last))
      : span(first, last);

/** Count what is missing and what is not published yet, whatever the range, and the first and last that is missing. */
function countMissing() {
  let [missing, pending, first, last] = [0, 0, null, null];
  const lacking = new Set();
  for (const each of DATA.coverage)
    for (const { label, state } of labelsOf(each)) {
      pending += state === "pending";
      if (state !== "missing") continue;
      missing++;
      lacking.add(each.endpoint);
      first = first === null || label < first ? label : first;
      last = last === null || label > last ? label : last;
    }
  return { missing, pending, first, last, endpoints: lacking.size };
}

/** Return a note that data is missing, with a link to the page that says which. */
function missingNotice() {
  const { missing, first, last, endpoints } = countMissing();
  if (!missing) return null;
  const text = t("missing_labels", { missing: number(missing), endpoints: number(endpoints), span: span(first, last) });
  return h(
    "div",
    { class: "notice", role: "note" },
    h("p", {}, text, " ", h("a", { href: fragment({ page: "coverage" }) }, t("see_coverage"))),
  );
}

/** Return what is missing in all, whatever the range, and the command that fetches it. */
function missingText() {
  const { missing, pending, first, last, endpoints } = countMissing();
  const command = `wx-datacube backfill --account ${DATA.account}${first ? ` --start ${first} --end ${last}` : ""}`;
  return [
    paragraph(
      missing
        ? t("missing_labels", { missing: number(missing), endpoints: number(endpoints), span: span(first, last) })
        : t("whole"),
    ),
    missing ? h("p", {}, t("fetch"), " ", h("code", {}, command)) : null,
    pending ? paragraph(t("waiting", { count: number(pending) })) : null,
  ];
}

function coveragePage() {
  const list = DATA.coverage.map(coverageOf);
  const daysHere = calendarDays();
  const columns = [
    {
      title: t("endpoint"),
      words: "text",
      value: (row) => pick(row.each.name),
      text: (row) => h("span", {}, pick(row.each.name), h("br"), h("code", { class: "soft" }, row.each.endpoint)),
    },
    ...["due", "landed", "empty", "missing", "pending", "open", "rejected", "revised"].map((name) => ({
      title: t(`count_${name}`),
      value: (row) => row[name],
    })),
  ];
  const gaps = list
    .filter((row) => row.gaps.length)
    .map((row) => [
      pick(row.each.name),
      listed([
        ...row.gaps.slice(0, 8).map((gap) => gapText(row.each, gap)),
        ...(row.gaps.length > 8 ? [t("more_gaps", { count: row.gaps.length - 8 })] : []),
      ]),
    ]);
  return [
    section(
      t("coverage"),
      missingText(),
      DATA.families_off.length ? paragraph(t("families_off", { families: listed(DATA.families_off.map(pick)) })) : null,
    ),
    daysHere.length
      ? section(t("calendar"), figure(t("calendar"), calendarOf(daysHere)), note(t("calendar_note")))
      : null,
    gaps.length ? section(t("gaps"), plain(t("gaps"), [t("endpoint"), t("gaps")], gaps, false)) : null,
    section(t("endpoints"), sortable(t("endpoints"), columns, list, { sort: 4, file: fileName("coverage") })),
  ];
}
