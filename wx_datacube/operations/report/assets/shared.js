// Shared: texts, figures and dates as text, elements, sortable tables, CSV and sparklines, for both kinds of pages.
//
// `DATA` is the document of the page, and `WORDS` has each text in English and Chinese; the page's template sets both.
"use strict";

const DAY_MS = 86400000;
const LANGUAGES = ["en", "zh"];
let language = DATA.language;

const other = () => (language === "zh" ? "en" : "zh");
const pick = (pair) => pair[LANGUAGES.indexOf(language)];

/** Return a text of the page with its placeholders filled in. */
function t(key, blanks = {}) {
  return pick(WORDS[key]).replace(/{(\w+)}/g, (_, name) => blanks[name]);
}

/** Return sentences as one text, without the empty ones; Chinese has no blanks between them. */
const joined = (sentences) => sentences.filter(Boolean).join(language === "zh" ? "" : " ");

const listed = (names) => names.join(language === "zh" ? "、" : ", ");

// --- figures ---------------------------------------------------------------------------------------------------------

const grouped = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");

/** Return a count as text; a mean below 100 has a decimal, and a dash means that nothing is stored. */
function number(value) {
  if (value === null || value === undefined) return "–";
  return grouped(value, Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : 1);
}

/** Return a mean as text: below 100 with a decimal, so that figures below each other have as many. */
const mean = (value) => (value === null || value === undefined ? "–" : grouped(value, Math.abs(value) < 100 ? 1 : 0));

const percent = (value, digits = 1) => (value === null || value === undefined ? "–" : `${grouped(value, digits)}%`);

/** Return a count in few characters, for an axis. */
function short(value) {
  const [unit, step] = language === "zh" ? [["", "万", "亿"], 1e4] : [["", "k", "M", "G"], 1e3];
  let place = 0;
  for (; Math.abs(value) >= step && place < unit.length - 1; place++) value /= step;
  return `${parseFloat(value.toFixed(2))}${unit[place]}`;
}

const SIGNED = new Set(["net_followers"]);
const PEOPLE = new Set(["net_followers", "followers"]);
const PERCENT = new Set(["failure_rate", "share_rate"]);

/** Return a metric's value as text. */
function shown(metric, value) {
  if (value === null || value === undefined) return "–";
  if (PERCENT.has(metric)) return percent(value);
  if (metric === "messages_per_sender") return grouped(value, 2);
  return `${SIGNED.has(metric) && value > 0 ? "+" : ""}${number(value)}`;
}

/** Return the change of a figure: a number of people where a percentage would say little, else in percent. */
function changed(metric, now, before) {
  if (now === null || before === null || now === undefined || before === undefined) return t("no_data");
  if (now === before) return t("unchanged");
  const arrow = now > before ? "▲" : "▼";
  const difference = Math.abs(now - before);
  if (PEOPLE.has(metric)) return `${arrow} ${number(difference)}`;
  if (PERCENT.has(metric)) {
    const points = Math.abs(Math.round(10 * now) - Math.round(10 * before)) / 10; // of the figures as they are shown
    return points ? t("points", { change: `${arrow} ${grouped(points, 1)}` }) : t("unchanged");
  }
  if (before === 0) return t("from_zero");
  const share = (100 * difference) / Math.abs(before);
  return `${arrow} ${share < 0.05 ? "<0.1%" : percent(share)}`;
}

// --- dates -----------------------------------------------------------------------------------------------------------

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const toTime = (iso) => Date.parse(`${iso}T00:00:00Z`);
const toIso = (time) => new Date(time).toISOString().slice(0, 10);
const weekdayOf = (iso) => (new Date(toTime(iso)).getUTCDay() + 6) % 7; // 0 is Monday
const weekday = (iso) => t(`weekday_${weekdayOf(iso) + 1}`);

/** Return a day as people write it, with its year if it is not that of the page, or if `dated`. */
function day(iso, dated = false) {
  const [year, month, date] = iso.split("-");
  const same = year === DATA.now.slice(0, 4) && !dated;
  if (language === "zh") return same ? `${month}-${date}` : iso;
  return `${Number(date)} ${MONTHS[month - 1]}${same ? "" : ` ${year}`}`;
}

const month = (iso) => (language === "zh" ? iso.slice(0, 7) : `${MONTHS[iso.slice(5, 7) - 1]} ${iso.slice(0, 4)}`);
const dayName = (iso) => t("with_weekday", { day: day(iso), weekday: weekday(iso) });

/** Return a range of days as text; both have their year if it isn't the same. */
function span(first, last) {
  const dated = first.slice(0, 4) !== last.slice(0, 4);
  return first === last ? day(first) : t("span", { first: day(first, dated), last: day(last, dated) });
}

// --- elements --------------------------------------------------------------------------------------------------------

/** Return an element; attributes that are functions become listeners, and children are elements or texts. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== ""));
  return element;
}

/** Return a title that can't change the direction of the text around it: as an element, or as text. */
const bidi = (text) => h("bdi", {}, text);
const isolated = (text) => `\u2068${text}\u2069`;

let ids = 0;

/** Return a section with a heading. */
function section(title, ...children) {
  const id = `h${++ids}`;
  return h("section", { "aria-labelledby": id }, h("h2", { id }, title), ...children);
}

const paragraph = (text, kind) => (text ? h("p", { class: kind }, text) : null);
const note = (text) => paragraph(text, "soft");

/** Return a line through values, which breaks where one is missing; its figures are beside it as text. */
function sparkline(values) {
  const known = values.filter((each) => each !== null);
  if (known.length < 2) return null;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const y = (value) => (high === low ? 14 : 26 - (24 * (value - low)) / (high - low));
  const step = 120 / (values.length - 1);
  const path = values.map((each, place) =>
    each === null
      ? ""
      : `${place && values[place - 1] !== null ? "L" : "M"}${(place * step).toFixed(1)},${y(each).toFixed(1)}h.01`,
  ); // a lone day is a dot
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "-2 0 124 28");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg.namespaceURI, "path");
  line.setAttribute("d", path.join(""));
  svg.append(line);
  return svg;
}

// --- tables ----------------------------------------------------------------------------------------------------------

const ROWS_SHOWN = 31;

/**
 * Return a table that sorts by its columns and downloads as CSV.
 *
 * A column is `{title, value, text, words, csv}`: `value` of a row sorts and goes to the CSV, `text` is shown, which may
 * be an element; `words` marks a column of texts; `csv` is its title there, if it is another one. `file` names the
 * download, none without it. `extra` are columns that only the CSV has.
 */
function sortable(label, columns, rows, { file, sort = 0, down = true, limit = ROWS_SHOWN, extra = [] } = {}) {
  let [by, descending, all] = [sort, down, rows.length <= limit];
  const body = h("tbody");
  const heads = columns.map((column, place) =>
    h(
      "th",
      { scope: "col", class: column.words ? null : "number" },
      h("button", { type: "button", click: () => sortBy(place) }, column.title),
    ),
  );
  const more = h("button", {
    type: "button",
    class: "more",
    click: () => {
      all = true;
      fill();
    },
  });

  function compare(one, two) {
    const [a, b] = [one, two].map(columns[by].value);
    if (a === null || a === undefined || b === null || b === undefined)
      return (a === null || a === undefined) - (b === null || b === undefined);
    const order = typeof a === "string" ? a.localeCompare(b, "zh-CN") : a - b;
    return descending ? -order : order;
  }

  function cell(column, row, place) {
    const text = column.text ? column.text(row) : number(column.value(row));
    return h(place ? "td" : "th", { scope: place ? null : "row", class: column.words ? column.words : "number" }, text);
  }

  function fill() {
    heads.forEach((head, place) =>
      head.setAttribute("aria-sort", place !== by ? "none" : descending ? "descending" : "ascending"),
    );
    const sorted = [...rows].sort(compare).slice(0, all ? rows.length : limit);
    body.replaceChildren(
      ...sorted.map((row) =>
        h(
          "tr",
          {},
          columns.map((column, place) => cell(column, row, place)),
        ),
      ),
    );
    more.hidden = all;
    more.textContent = t("show_all", { count: number(rows.length) });
  }

  function sortBy(place) {
    [by, descending] = [place, place === by ? !descending : !columns[place].words];
    fill();
  }

  fill();
  const download =
    file && h("button", { type: "button", click: () => save(file, csv([...columns, ...extra], rows)) }, t("download"));
  return h(
    "div",
    {},
    wide(label, h("table", {}, h("thead", {}, h("tr", {}, heads)), body)),
    h("p", { class: "tools" }, more, download),
  );
}

/** Return a box that scrolls sideways if its content is too wide, and then says so. */
function wide(label, content) {
  const hint = h("p", { class: "hint", hidden: true }, t("scroll"));
  const box = h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": label }, content);
  new ResizeObserver(() => {
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
  }).observe(box);
  return h("div", {}, hint, box);
}

/** Return a plain table of texts; the first cell of each row is its header. */
function plain(label, heads, rows, numbers = true) {
  const kind = (place) => (place && numbers ? "number" : null);
  return wide(
    label,
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          heads.map((each, place) => h("th", { scope: "col", class: kind(place) }, each)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((each, place) => h(place ? "td" : "th", { scope: place ? null : "row", class: kind(place) }, each)),
          ),
        ),
      ),
    ),
  );
}

// --- CSV -------------------------------------------------------------------------------------------------------------

/** Return a table as CSV that Excel opens right: UTF-8 with BOM, no text that it takes for a date or a formula. */
function csv(columns, rows) {
  const lines = [
    columns.map((each) => field(each.csv || each.title)),
    ...rows.map((row) => columns.map((each) => field(each.value(row)))),
  ];
  return `\ufeff${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

function field(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(value * 10000) / 10000);
  let text = String(value);
  if (/^\d+[-/]\d+$|^\d+月\d+日?$/.test(text))
    text = `="${text}"`; // Excel would show 1-5 as a day in January
  else if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`; // and would compute this
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
