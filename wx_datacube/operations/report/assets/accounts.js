// Accounts: the page with a row per account.
"use strict";

/** Return a column of a figure with its change against a week before. */
function figureColumn(metric, title) {
  return {
    title,
    value: (row) => row.values[metric],
    text: (row) => [
      h("span", {}, shown(metric, row.values[metric])),
      row.values[metric] === null
        ? ""
        : h("span", { class: "soft block" }, changed(metric, row.values[metric], row.week_before[metric])),
    ],
  };
}

function accountTable() {
  const there = (metric) => DATA.accounts.some((row) => row.values[metric] !== null);
  const columns = [
    {
      title: t("account"),
      words: "text",
      value: (row) => row.title,
      text: (row) => h("a", { href: `${encodeURIComponent(row.file)}#lang=${language}` }, h("bdi", {}, row.title)),
    },
    ...["followers", "net_followers", "readers", "messages"]
      .filter(there)
      .map((metric) => figureColumn(metric, pick(DATA.metrics[metric]))),
    {
      title: t("coverage"),
      words: "date",
      value: (row) => row.missing,
      text: (row) =>
        row.newest === null
          ? t("no_data")
          : row.missing
            ? t("missing_count", { count: number(row.missing) })
            : t("complete"),
    },
    {
      title: t("data_of"),
      words: "date",
      value: (row) => row.newest,
      text: (row) => (row.newest ? day(row.newest) : "–"),
    },
    {
      title: t("unusual"),
      words: "text",
      value: (row) => row.unusual.map(pick).join(" "),
      text: (row) => (row.unusual.length ? row.unusual.map(pick).join(" ") : "–"),
    },
  ];
  return sortable(t("all_accounts"), columns, DATA.accounts, {
    sort: 1,
    file: `accounts_${DATA.day}.csv`,
    limit: 1000,
  });
}

function render() {
  const given = new URLSearchParams(location.hash.slice(1)).get("lang");
  language = LANGUAGES.includes(given) ? given : DATA.language;
  const toggled = document.activeElement?.className === "language";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = t("all_accounts");
  const toggle = h(
    "a",
    { class: "language", href: `#lang=${other()}`, lang: other() === "zh" ? "zh-CN" : "en" },
    WORDS.own_name[LANGUAGES.indexOf(other())],
  );
  document.body.replaceChildren(
    h(
      "main",
      {},
      h("header", {}, h("div", { class: "top" }, h("h1", {}, t("all_accounts")), toggle)),
      section(
        t("yesterday", { day: day(DATA.day), weekday: weekday(DATA.day) }),
        accountTable(),
        note(t("accounts_note")),
      ),
    ),
  );
  if (toggled) toggle.focus();
  document.body.dataset.drawn = "yes";
}

addEventListener("hashchange", render);
render();
