// Interface: the calls of WeChat to the account's server.
"use strict";

function interfacePage() {
  const { range } = choice;
  const { date, rows: list } = DATA.calls_by_hour;
  const byHour = Object.fromEntries(list.map((row) => [row[0], row]));
  const all = [...Array(24).keys()].map((hour) => byHour[hour] || [hour, 0, 0, null, null]); // no row: no call
  const columns = [
    {
      title: t("hour"),
      words: "date",
      value: (row) => row[0],
      text: (row) => t("hour_of", { hour: row[0], next: row[0] + 1 }),
    },
    ...["calls", "failures", "mean_ms", "max_ms"].map((metric, place) => ({
      title: nameOf(metric),
      value: (row) => row[place + 1],
    })),
  ];
  const hourly = date
    ? section(
        t("interface_hours", { day: day(date), weekday: weekday(date) }),
        figure(
          t("interface_hourly"),
          hoursOf(
            all.map(([, calls]) => calls),
            nameOf("calls"),
          ),
        ),
        h(
          "details",
          {},
          h("summary", {}, t("interface_hourly")),
          sortable(t("interface_hourly"), columns, all, {
            down: false,
            file: `${DATA.account}_interface_hours_${date}.csv`,
          }),
        ),
      )
    : null;
  if (!over("calls", range).known) return [section(t("interface"), paragraph(t("nothing_in_range"))), hourly];
  return [
    section(t("figures_of_range"), summary(["calls", "failures", "failure_rate", "mean_ms", "max_ms"])),
    section(
      t("calls_trend"),
      figure(
        t("trend_label", { metric: nameOf("calls"), range: rangeText() }),
        trendOf("calls", choice, { zero: true }),
      ),
    ),
    section(
      nameOf("failures"),
      figure(
        t("trend_label", { metric: nameOf("failures"), range: rangeText() }),
        trendOf("failures", choice, { height: 160, zero: true }),
      ),
    ),
    section(
      nameOf("mean_ms"),
      figure(
        t("trend_label", { metric: nameOf("mean_ms"), range: rangeText() }),
        trendOf("mean_ms", choice, { height: 160, zero: true }),
      ),
      note(lineNote()),
    ),
    hourly,
    details("interface", metricColumns(["calls", "failures", "failure_rate", "mean_ms", "max_ms"])),
  ];
}
