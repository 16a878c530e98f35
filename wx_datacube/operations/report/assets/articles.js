// Articles: those published in the range with their reading curves, and readers by day and by source.
"use strict";

const titleOf = (article) => article.title || t("untitled", { id: article.article });

/** Return the published articles as marks of a chart. */
const articleMarks = () =>
  (DATA.articles || []).map((article) => ({ place: placeOf(article.published_on), text: isolated(titleOf(article)) }));

/** Return the typical readers of the account's articles up to each day after publishing. */
function typicalCurve() {
  const byDay = new Map();
  for (const { curve } of DATA.articles)
    for (const [at, readers] of curve) byDay.set(at, [...(byDay.get(at) || []), readers]);
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
  const sources = shares(
    article.sources.map(([word, value]) => ({ word, value })).sort((one, two) => two.value - one.value),
    (word) => pick(DATA.names_of_scenes[word]),
  );
  const jumps = article.jumps.map(([position, rate]) => [
    t("part", { from: 20 * (position - 1), to: 20 * position }),
    percent(100 * rate),
  ]);
  return h(
    "div",
    { class: "article" },
    article.curve.length > 1
      ? figure(t("curve_label", { title: titleOf(article) }), curveOf(article.curve, typical))
      : note(t("no_curve")),
    h(
      "div",
      { class: "columns" },
      sources.length
        ? plain(
            t("sources"),
            [t("source"), t("readers"), t("share")],
            sources.map((each) => [each.name, number(each.value), shareBar(each.share)]),
          )
        : null,
      jumps.length ? plain(t("jumps"), [t("left_at"), t("share")], jumps) : null,
    ),
    note(
      joined([
        t("article_facts", {
          likes: number(article.likes),
          hearts: number(article.hearts),
          comments: number(article.comments),
          saves: number(article.saves),
        }),
        article.notified === null ? "" : t(article.notified ? "notified" : "not_notified"),
      ]),
    ),
    /^https?:\/\//.test(article.url || "")
      ? h("p", {}, h("a", { href: article.url, target: "_blank", rel: "noopener noreferrer" }, t("open_article")))
      : null,
  );
}

function articleTable(list) {
  const curve = typicalCurve();
  const typical = new Map(curve);
  const usualShare = median(DATA.articles.map(shareRate));
  const place = h("div", { "aria-live": "polite" });
  let shownArticle = null;
  const open = (article) => {
    if (article === shownArticle) {
      shownArticle = null;
      place.replaceChildren();
      return;
    }
    shownArticle = article;
    const heading = h("h3", { tabindex: "-1" }, bidi(titleOf(article)));
    place.replaceChildren(heading, articleDetail(article, curve));
    drawAll();
    heading.focus();
    heading.scrollIntoView({ block: "nearest" });
  };
  const columns = [
    {
      title: t("article"),
      words: "title",
      value: titleOf,
      text: (row) => h("button", { type: "button", class: "link", click: () => open(row) }, bidi(titleOf(row))),
    },
    { title: t("published_on"), words: "date", value: (row) => row.published_on, text: (row) => day(row.published_on) },
    {
      title: t("readers"),
      value: (row) => row.readers,
      text: (row) => `${number(row.readers)}${row.final ? "" : "*"}`,
    },
    {
      title: t("against_typical"),
      csv: `${t("against_typical")} (%)`,
      value: (row) => againstTypical(row, typical),
      text: (row) => signedPercent(againstTypical(row, typical)),
    },
    { title: t("brought"), value: (row) => row.new_followers },
    {
      title: t("share_rate"),
      csv: `${t("share_rate")} (%)`,
      value: shareRate,
      text: (row) => `${percent(shareRate(row))}${usualShare !== null && shareRate(row) > usualShare ? " ▲" : ""}`,
    },
    {
      title: t("finish_rate"),
      csv: `${t("finish_rate")} (%)`,
      value: (row) => hundred(row.finish_rate),
      text: (row) => percent(hundred(row.finish_rate)),
    },
    { title: t("minutes"), value: (row) => row.minutes_per_reader, text: (row) => number(row.minutes_per_reader) },
  ];
  return [
    sortable(t("articles_of_range"), columns, list, {
      sort: 2,
      file: fileName("articles"),
      limit: 10,
      extra: [{ title: t("address"), value: (row) => row.url }],
    }),
    place,
    note(
      joined([
        t("articles_note", { share: percent(usualShare) }),
        list.some((each) => !each.final) ? t("open_note") : "",
      ]),
    ),
  ];
}

const signedPercent = (value) =>
  value === null
    ? "–"
    : Math.abs(value) < 0.5
      ? t("unchanged")
      : `${value > 0 ? "+" : "−"}${percent(Math.abs(value), 0)}`;

function articlesPage() {
  const { range } = choice;
  const published = DATA.articles.filter(
    (each) => placeOf(each.published_on) >= range.from && placeOf(each.published_on) <= range.to,
  );
  const reading = over("readers", range).known;
  if (!reading && !published.length)
    return [section(t("articles"), paragraph(t("nothing_in_range_articles", { first: day(DATA.articles_start) })))];
  const most = (value) =>
    [...published].filter((each) => value(each) !== null).sort((one, two) => value(two) - value(one))[0];
  const [read, brought] = [most((each) => each.readers), most((each) => each.new_followers)];
  const sentence = joined([
    t("published_count", { count: number(published.length) }),
    read ? t("most_read", { title: isolated(titleOf(read)), readers: number(read.readers) }) : "",
    brought && brought.new_followers
      ? t("most_brought", { title: isolated(titleOf(brought)), followers: number(brought.new_followers) })
      : "",
  ]);
  const sources = shares(kindsIn(DATA.sources, "readers", range), (word) => pick(DATA.names_of_sources[word]));
  const columns = [
    { title: t("source"), words: "text", value: (row) => row.name, text: (row) => row.name },
    { title: t("readers_per_day"), value: (row) => row.value / reading },
    { title: t("share"), csv: t("share_percent"), value: (row) => row.share, text: (row) => shareBar(row.share) },
  ];
  return [
    section(
      t("figures_of_range"),
      summary(["readers", "sharers", "share_rate", "articles_published", "likes", "hearts", "comments", "saves"]),
    ),
    section(t("articles_of_range"), paragraph(sentence), published.length ? articleTable(published) : null),
    section(
      t("readers_trend"),
      figure(
        t("trend_label", { metric: nameOf("readers"), range: rangeText() }),
        trendOf("readers", choice, { marks: articleMarks(), zero: true }),
      ),
      note(trendNote()),
    ),
    sources.length
      ? section(
          t("sources"),
          sortable(t("sources"), columns, sources, { sort: 1, file: fileName("sources") }),
          note(t("sources_note")),
        )
      : null,
    details(
      "reading",
      metricColumns(["readers", "sharers", "likes", "hearts", "comments", "saves", "articles_published"]),
    ),
  ];
}
