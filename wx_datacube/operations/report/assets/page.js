// Page: the head, the links to the pages, the controls of the range, and the chosen page.
"use strict";

const PAGE_OF = {
  overview: overviewPage,
  followers: followersPage,
  articles: articlesPage,
  messages: messagesPage,
  interface: interfacePage,
  coverage: coveragePage,
};

/** Call `apply` when a date is chosen. Each typed digit makes another date, so a typed one waits for Enter or the focus. */
function whenChosen(input, apply) {
  let [old, typing] = ["", false];
  const done = () => {
    typing = false;
    if (!input.value) input.value = old;
    if (input.value < input.min) input.value = input.min;
    if (input.value > input.max) input.value = input.max;
    apply();
  };
  input.addEventListener("focus", () => {
    old = input.value;
  });
  input.addEventListener("keydown", ({ key, altKey }) => {
    if (key === "Enter" && typing) done();
    else if (!altKey && /^(\d|ArrowUp|ArrowDown|Backspace|Delete)$/.test(key)) typing = true;
  });
  input.addEventListener("change", () => {
    if (!typing) done();
  });
  input.addEventListener("blur", () => {
    if (typing) done();
  });
}

/** Return the controls of the range, and a function that shows the current choice in them. */
function controls() {
  const lengths = [...LENGTHS.filter((days) => days < DAYS), "all"];
  const buttons = lengths.map((days) => [
    days,
    h(
      "button",
      { type: "button", click: () => choose({ days, from: null, to: null, vs_from: null, vs_to: null }) },
      t(`last_${days}`),
    ),
  ]);
  const input = (name, label) =>
    h("input", { type: "date", name, min: DATA.first, max: DATA.last, "aria-label": label });
  const dates = [input("from", t("first_day")), input("to", t("last_day"))];
  const before = [input("vs_from", t("compared_first")), input("vs_to", t("compared_last"))];
  const read = (inputs, days) => () => {
    if (inputs.every((each) => each.value))
      choose({ ...Object.fromEntries(inputs.map((each) => [each.name, each.value])), ...days });
  };
  for (const each of dates) whenChosen(each, read(dates, { days: null }));
  for (const each of before) whenChosen(each, read(before, {}));
  const reset = h(
    "button",
    {
      type: "button",
      click: () => {
        before[0].focus();
        choose({ vs_from: null, vs_to: null });
      },
    },
    t("reset"),
  );
  const nothing = note(t("nothing_before"));
  const printed = h("p", { class: "printed" });
  const comparison = h(
    "fieldset",
    {},
    h("legend", {}, t("compared_with")),
    h("div", { class: "dates" }, before[0], h("span", {}, t("to")), before[1], reset),
    nothing,
  );
  const show = () => {
    const {
      page,
      range,
      before: { from, to },
      which,
      free,
    } = choice;
    printed.textContent = rangeText() + (page === "coverage" || to < 0 ? "" : t("printed", { before: beforeText() }));
    for (const [days, button] of buttons) button.setAttribute("aria-pressed", String(which === days));
    const shownDates = [range.from, range.to, ...(to < 0 ? [null, null] : [from, to])];
    [...dates, ...before].forEach((each, place) => {
      const value = shownDates[place] === null ? "" : isoOf(shownDates[place]);
      if (each.value !== value) each.value = value;
    });
    [reset.hidden, nothing.hidden, comparison.hidden] = [!free, to >= 0, page === "coverage"];
  };
  const element = h(
    "div",
    { class: "controls" },
    h(
      "fieldset",
      {},
      h("legend", {}, t("range")),
      h(
        "div",
        { class: "buttons" },
        buttons.map(([, button]) => button),
      ),
      h("div", { class: "dates" }, dates[0], h("span", {}, t("to")), dates[1]),
    ),
    comparison,
    printed,
  );
  return { element, show };
}

function head() {
  const made = DATA.requested ? t("updated", { updated: DATA.requested }) : "";
  const toggle = h(
    "a",
    { class: "language", href: fragment({ lang: other() }), lang: other() === "zh" ? "zh-CN" : "en" },
    WORDS.own_name[LANGUAGES.indexOf(other())],
  );
  return h(
    "header",
    {},
    h("div", { class: "top" }, h("h1", {}, bidi(DATA.title)), toggle),
    h("p", { class: "soft" }, joined([made, t("times")])),
  );
}

function notice() {
  const { newest } = DATA;
  let text = "";
  if (!DATA.requested || newest === null) text = t("nothing", { account: DATA.account });
  else if (Math.round((toTime(DATA.now.slice(0, 10)) - toTime(newest)) / DAY_MS) > 3)
    text = t("stale", {
      newest: day(newest),
      days: Math.round((toTime(DATA.now.slice(0, 10)) - toTime(newest)) / DAY_MS),
      account: DATA.account,
    });
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
  document.body.replaceChildren(
    h(
      "main",
      {},
      h("div", { id: "head" }),
      notice(),
      filled ? [h("nav", { "aria-label": t("pages") }), shownControls.element] : null,
      h("div", { id: "page" }),
    ),
  );
}

function render() {
  const before = choice;
  choice = chosen();
  language = choice.language;
  if (before.page !== choice.page) detailsAreOpen = false;
  const toggled = document.activeElement?.className === "language";
  delete document.body.dataset.drawn;
  forgetCharts();
  ids = 0;
  if (drawnIn !== language) build();
  document.getElementById("head").replaceChildren(head());
  if (toggled) document.querySelector(".language").focus();
  if (shownControls) {
    const links = pagesShown().map((page) =>
      h(
        "a",
        { href: fragment({ page }), "aria-current": page === choice.page ? "page" : null, "data-page": page },
        t(page),
      ),
    );
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
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) {
    each.open = true;
    each.dispatchEvent(new Event("toggle")); // the browser's own comes after printing
  }
});
render();
