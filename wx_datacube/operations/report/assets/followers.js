// Followers: new and lost followers, their total, and the channels they came by.
"use strict";

function followersPage() {
  const { range } = choice;
  if (!over("new_followers", range).known && !over("followers", range).known)
    return [section(t("followers"), paragraph(t("nothing_in_range")))];
  const channels = [...new Set([...Object.keys(DATA.channels.new), ...Object.keys(DATA.channels.lost)])];
  const totals = channels
    .map((word) => {
      const [gained, lost] = ["new", "lost"].map(
        (kind) =>
          kindsIn({ [word]: DATA.channels[kind][word] || { at: 0, values: [] } }, "new_followers", range)[0]?.value ||
          0,
      );
      return { word, name: pick(DATA.names_of_channels[word]), value: gained, lost, net: gained - lost };
    })
    .filter((each) => each.value || each.lost);
  const whole = sum(totals.map((each) => each.value));
  const best = [...totals].sort((one, two) => two.value - one.value)[0];
  const columns = [
    { title: t("channel"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: nameOf("new_followers"), value: (row) => row.value },
    {
      title: t("share"),
      csv: t("share_percent"),
      value: (row) => (whole ? (100 * row.value) / whole : 0),
      text: (row) => shareBar(whole ? (100 * row.value) / whole : 0),
    },
    { title: nameOf("lost_followers"), value: (row) => row.lost },
    { title: nameOf("net_followers"), value: (row) => row.net, text: (row) => shown("net_followers", row.net) },
  ];
  const daily = channels.map((word) => ({
    title: `${nameOf("new_followers")}：${pick(DATA.names_of_channels[word])}`.replace(
      "：",
      language === "zh" ? "：" : ": ",
    ),
    value: (row) =>
      values("new_followers")[row.place] === null
        ? null
        : valuesOfKind(DATA.channels.new[word] || { at: 0, values: [] }, row.place),
  }));
  return [
    section(t("figures_of_range"), summary(["new_followers", "lost_followers", "net_followers", "followers"])),
    section(
      nameOf("followers"),
      figure(
        t("trend_label", { metric: nameOf("followers"), range: rangeText() }),
        trendOf("followers", choice, { marks: articleMarks() }),
      ),
      note(trendNote()),
    ),
    section(
      t("follower_trend"),
      figure(t("follower_trend"), linesOf(range, [lineOf("new_followers"), lineOf("lost_followers")], { zero: true })),
      note(lineNote()),
    ),
    section(
      t("channels"),
      best && best.value
        ? paragraph(t("best_channel", { name: best.name, share: percent((100 * best.value) / whole) }))
        : null,
      totals.length
        ? [
            figure(t("channels"), stackOf(DATA.channels.new, "new_followers", DATA.names_of_channels, range)),
            note(unitNote("bar")),
            sortable(t("channels"), columns, totals, { sort: 1, file: fileName("channels") }),
          ]
        : paragraph(t("nobody_came")),
    ),
    details("followers", [
      ...metricColumns(["new_followers", "lost_followers", "net_followers", "followers"]),
      ...daily,
    ]),
  ];
}
