// Messages: by day, type, weekday and hour, and how many each user sent.
"use strict";

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
    hours.forEach((count, hour) => {
      sums[weekdayHere][hour] += count;
    });
  }
  return sums.flatMap((list, at) =>
    days[at] ? list.map((value, hour) => ({ weekday: at, hour, v: value / days[at] })) : [],
  );
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
  for (let back = 7; back <= 56; back += 7)
    if (newest - back >= 0 && hoursAt(newest - back)) usual.push(hoursAt(newest - back));
  const typical = usual.length >= 3 ? hours.map((_, hour) => median(usual.map((each) => each[hour]))) : null;
  const iso = isoOf(newest);
  const list = hours.map((count, hour) => ({ hour, count, usual: typical ? typical[hour] : null }));
  const columns = [
    {
      title: t("hour"),
      words: "date",
      value: (row) => row.hour,
      text: (row) => t("hour_of", { hour: row.hour, next: row.hour + 1 }),
    },
    { title: nameOf("messages"), value: (row) => row.count },
    ...(typical ? [{ title: t("usual_hour"), value: (row) => row.usual }] : []),
  ];
  return section(
    t("hourly_of", { day: day(iso), weekday: weekday(iso) }),
    figure(t("hourly"), hoursOf(hours, nameOf("messages"), typical, t("usual_hour"))),
    h(
      "details",
      {},
      h("summary", {}, t("hourly")),
      sortable(t("hourly"), columns, list, { down: false, file: `${DATA.account}_hours_${iso}.csv` }),
    ),
  );
}

function messagesPage() {
  const { range } = choice;
  if (!over("messages", range).known) return [section(t("messages"), paragraph(t("nothing_in_range"))), hourlyReport()];
  const types = shares(kindsIn(DATA.types, "messages", range), (word) => pick(DATA.names_of_types[word]));
  const typeColumns = [
    { title: t("type"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: nameOf("messages"), value: (row) => row.value },
    { title: t("share"), csv: t("share_percent"), value: (row) => row.share, text: (row) => shareBar(row.share) },
  ];
  const cells = heatCells(range);
  const busiest = [...cells].sort((one, two) => two.v - one.v)[0];
  const frequent = frequentShare(range);
  const intervals = shares(
    Object.keys(DATA.intervals).map((word) => ({
      word,
      value: kindsIn({ [word]: DATA.intervals[word] }, "senders", range)[0]?.value || 0,
    })),
    (word) => pick(DATA.names_of_intervals[word]),
  );
  const sendersKnown = over("senders", range).known;
  const daily = Object.keys(DATA.types).map((word) => ({
    title: pick(DATA.names_of_types[word]),
    value: (row) => (values("messages")[row.place] === null ? null : valuesOfKind(DATA.types[word], row.place)),
  }));
  const spread = Object.keys(DATA.intervals).map((word) => ({
    title: t("senders_of", { interval: pick(DATA.names_of_intervals[word]) }),
    value: (row) => (values("senders")[row.place] === null ? null : valuesOfKind(DATA.intervals[word], row.place)),
  }));
  return [
    section(t("figures_of_range"), summary(["messages", "senders", "messages_per_sender"])),
    section(
      t("message_trend"),
      figure(
        t("trend_label", { metric: nameOf("messages"), range: rangeText() }),
        trendOf("messages", choice, { marks: articleMarks(), zero: true }),
      ),
      note(trendNote()),
    ),
    section(
      t("types"),
      types.length
        ? h(
            "div",
            { class: "columns wide-first" },
            h(
              "div",
              {},
              figure(t("types"), stackOf(DATA.types, "messages", DATA.names_of_types, range)),
              note(unitNote("bar")),
            ),
            sortable(t("types"), typeColumns, types, { sort: 1, file: fileName("types") }),
          )
        : paragraph(t("no_messages")),
    ),
    section(
      t("hours"),
      busiest && busiest.v
        ? [
            paragraph(
              t("busiest", {
                weekday: t(`weekday_${busiest.weekday + 1}`),
                hour: busiest.hour,
                next: busiest.hour + 1,
                messages: number(Math.round(10 * busiest.v) / 10),
              }),
            ),
            figure(t("hours"), heatOf(cells)),
            note(t("hours_note")),
          ]
        : paragraph(t("no_hours_in_range")),
    ),
    hourlyReport(),
    section(
      t("frequent"),
      over("senders", range).value
        ? [
            paragraph(t("frequent_share", { share: percent(frequent) })),
            figure(
              t("frequent"),
              linesOf(range, [{ name: t("frequent"), value: frequentShare, text: (value) => percent(value) }], {
                height: 160,
                zero: true,
              }),
            ),
            plain(
              t("frequent"),
              [t("interval"), t("senders_in_range"), t("share")],
              intervals.map((each) => [each.name, number(each.value / sendersKnown), shareBar(each.share)]),
            ),
          ]
        : paragraph(t(sendersKnown ? "no_messages" : "nothing_in_range")),
    ),
    details("messages", [...metricColumns(["messages", "senders", "messages_per_sender"]), ...daily, ...spread]),
  ];
}
