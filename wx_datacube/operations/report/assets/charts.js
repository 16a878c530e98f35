// Charts: the page's charts as Vega-Lite. See https://vega.github.io/vega-lite/docs/.
//
// Colours are CSS variables, so that dark mode and print need no other drawing. The hues are Okabe and Ito's, which
// colour-blind people can tell apart.
"use strict";

const FONT = getComputedStyle(document.body).fontFamily;
const HUES = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)"];
const HEAT = [1, 2, 3, 4, 5, 6].map((step) => `var(--heat${step})`);
const STATES = {
  landed: "ok",
  open: "open",
  empty: "none",
  missing: "missing",
  pending: "pending",
  rejected: "rejected",
  revised: "revised",
};

const FUNCTIONS = {
  short,
  axisDate: (time, unit) => (unit === "month" ? month(toIso(time)) : day(toIso(time))),
};

const TEXT = {
  labelColor: "var(--soft)",
  labelFontSize: 12,
  titleColor: "var(--soft)",
  titleFontSize: 12,
  titleFontWeight: "normal",
};
const CONFIG = {
  font: FONT,
  aria: false,
  background: null,
  axis: { gridColor: "var(--grid)", domainColor: "var(--axis)", tickColor: "var(--axis)", ...TEXT },
  legend: { orient: "top", symbolStrokeWidth: 2, columns: innerWidth < 600 ? 2 : 6, ...TEXT },
  view: { stroke: null },
  text: { color: "var(--soft)", fontSize: 11 },
};

/** Return a chart as wide as its place. */
const chart = (height, layer, more = {}) => ({
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  width: "container",
  height,
  autosize: { type: "fit-x", contains: "padding" },
  config: CONFIG,
  layer,
  ...more,
});

const rows = (list) => ({ values: list });
const hidden = { title: null, axis: null };
const colours = (names, hues = HUES) => ({
  domain: names,
  range: names.map((_, place) => hues[Math.min(place, hues.length - 1)]),
});

/** Return the middle of a step as the moment at which it is drawn. */
const begin = (step) => FIRST + step.from * DAY_MS;
const end = (step) => FIRST + (step.to + 1) * DAY_MS;
const middle = (step) => (begin(step) + end(step)) / 2;

function timeAxis(range, unit) {
  const all = drawnSteps(range);
  const every = Math.ceil(all.length / (innerWidth < 600 ? 4 : 8));
  const whole = unit === "day" ? all : all.filter((step) => step.from > range.from || all.length < 3);
  return {
    title: null,
    grid: false,
    values: whole.filter((_, place) => place % every === 0).map(unit === "day" ? middle : begin),
    labelExpr: `axisDate(datum.value, '${unit}')`,
    labelOverlap: true,
    labelFlush: false,
  };
}

const timeX = (range, unit, field = "t") => ({
  field,
  type: "quantitative", // milliseconds: a temporal scale would move days to the browser's time zone
  scale: { domain: [FIRST + range.from * DAY_MS, FIRST + (range.to + 1) * DAY_MS], nice: false, zero: false },
  axis: timeAxis(range, unit),
});

/** Return the scale of figures; a line of equal figures starts at zero too, so that it isn't in the middle of nothing. */
function figureScale(list, zero) {
  const known = list.filter((each) => each !== null && each !== undefined);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  if (!known.length || (low === 0 && high === 0)) return { domain: [0, 1], nice: false };
  return { zero: zero || low === high, nice: 4 };
}

const countAxis = { title: null, labelExpr: "short(datum.value)", tickCount: 4, minExtent: 34 };

/**
 * Return lines over the days of a range: a gap where nothing is stored, a marked zero for a silent day, a hollow point
 * for a value that is not final.
 *
 * `lines` are `{metric, name, range, dashed}`; one with a range of its own is moved to the chart's. `marks` are
 * `{place, text}`, small triangles below the lines. `percentages` makes an axis in percent from `values` of the lines.
 */
function linesOf(range, lines, { marks = [], height = 220, zero = false } = {}) {
  const unit = unitOf(range);
  const main = drawnSteps(range);
  const points = [];
  const bars = main.map((step) => ({ step, texts: {} }));
  for (const line of lines) {
    const shift = range.from - (line.range || range).from;
    const found = main.map((step) => {
      const there = { from: step.from - shift, to: step.to - shift };
      const known =
        there.to >= 0 && there.from <= LAST && (!line.range || there.from <= line.range.to) ? line.value(there) : null;
      return {
        t: middle(step),
        k: line.name,
        v: known,
        o: unit === "day" && line.isOpen && line.isOpen(there.from) ? 1 : 0,
      };
    });
    found.forEach((point, place) => {
      const alone =
        point.v !== null && (found[place - 1]?.v ?? null) === null && (found[place + 1]?.v ?? null) === null;
      points.push({ ...point, a: alone ? 1 : 0, z: point.v === 0 && !line.range ? 1 : 0, h: line.range ? 1 : 0 });
      bars[place].texts[line.name] = line.text(point.v);
    });
  }
  const names = lines.map((line) => line.name);
  const domain = { domain: names, range: lines.map((line, place) => (line.range ? "var(--compared)" : HUES[place])) };
  const dashes = { domain: names, range: lines.map((line) => (line.range ? [5, 4] : [1, 0])) };
  const x = timeX(range, unit);
  const y = {
    field: "v",
    type: "quantitative",
    axis: countAxis,
    scale: figureScale(
      points.map((point) => point.v),
      zero,
    ),
  };
  const color = {
    field: "k",
    type: "nominal",
    title: null,
    scale: domain,
    legend: lines.length > 1 ? { symbolType: "stroke" } : null,
  };
  const tooltips = bars.map(({ step, texts }) => {
    const holiday = unit === "day" ? holidayOn(step.from) : "";
    const there = marks.filter((mark) => mark.place >= step.from && mark.place <= step.to);
    const tip = { [t("date")]: [stepName(step), holiday].filter(Boolean).join(" · "), ...texts };
    if (there.length)
      tip[t("articles_published")] =
        there
          .slice(0, 3)
          .map((mark) => mark.text)
          .join(" / ") + (there.length > 3 ? " …" : "");
    return { t: begin(step), e: end(step), tip };
  });
  const bands = holidayBands(range);
  const labels = [...bands.filter((band) => band.name), ...workingWeekends(range)];
  const layers = [
    ...(bands.length
      ? [
          {
            data: rows(bands),
            mark: { type: "rect", opacity: 1 },
            encoding: { x: { ...x, field: "t" }, x2: { field: "e" }, color: { value: "var(--band)" } },
          },
        ]
      : []),
    ...(labels.length
      ? [
          {
            data: rows(labels),
            mark: { type: "text", align: "left", baseline: "top", dx: 2, dy: 1 },
            encoding: { x, y: { value: 0 }, text: { field: "name" } },
          },
        ]
      : []),
    {
      data: rows(points),
      mark: { type: "line", strokeWidth: 2, invalid: "break-paths-show-domains", interpolate: "linear" },
      encoding: {
        x,
        y,
        color,
        strokeDash: { field: "k", type: "nominal", scale: dashes, title: null, legend: color.legend },
        order: { field: "t" },
      },
    },
  ];
  const layerOf = (chosen, mark) => {
    const found = points.filter(chosen);
    if (found.length) layers.push({ data: rows(found), mark, encoding: { x, y, color } });
  };
  layerOf((point) => point.a && !point.o, { type: "point", filled: true, size: 36, opacity: 1 });
  layerOf((point) => point.z && unit === "day" && !point.o, {
    type: "point",
    shape: "stroke",
    angle: 90,
    size: 90,
    strokeWidth: 2,
    opacity: 1,
  });
  layerOf((point) => point.o && point.v !== null, {
    type: "point",
    filled: false,
    fill: "var(--paper)",
    size: 44,
    strokeWidth: 2,
    opacity: 1,
  });
  const drawnMarks = [...new Set(marks.map((mark) => mark.place))].filter(
    (place) => place >= range.from && place <= range.to,
  );
  if (drawnMarks.length && unit === "day")
    layers.push({
      data: rows(drawnMarks.map((place) => ({ t: FIRST + (place + 0.5) * DAY_MS }))),
      mark: { type: "point", shape: "triangle-up", filled: true, size: 44, opacity: 1 },
      encoding: { x, y: { value: height - 5 }, color: { value: "var(--c2)" } },
    });
  layers.push({
    data: rows(tooltips),
    mark: { type: "rect", opacity: 0, tooltip: { expr: "datum.tip" } },
    encoding: { x, x2: { field: "e" }, y: { value: 0 }, y2: { value: height } },
  });
  return chart(height, layers);
}

/** Return a line of a metric. */
const lineOf = (metric, name = nameOf(metric), range = null) => ({
  name,
  range,
  value: (there) => over(metric, there).perDay,
  isOpen: (place) => isOpen(metric, place),
  text: (value) => shown(metric, value),
});

/** Return a metric over the range, and over the range that it is compared with. */
function trendOf(metric, { range, before }, options) {
  const lines = [lineOf(metric, t("this_range"))];
  if (before.to >= 0) lines.push(lineOf(metric, t("compared_range"), before));
  return linesOf(range, lines, options);
}

// --- holidays --------------------------------------------------------------------------------------------------------

function holidayOn(place) {
  const found = DATA.calendar.find((each) => each.date === isoOf(place));
  return found ? pick(found.name) : "";
}

/** Return the working weekends of a range of days, which calendars mark with 班. */
const workingWeekends = (range) =>
  (unitOf(range) === "day" ? DATA.calendar : [])
    .filter(({ date, kind }) => kind === "working weekend" && placeOf(date) >= range.from && placeOf(date) <= range.to)
    .map(({ date }) => ({ t: toTime(date), name: t("working") }));

/** Return the holidays of a range as bands, neighbouring days of a holiday together; none for a range of years. */
function holidayBands(range) {
  if (range.to - range.from > 400) return [];
  const bands = [];
  for (const { date, kind, name } of DATA.calendar) {
    const place = placeOf(date);
    if (place < range.from || place > range.to || kind === "working weekend") continue;
    if (!bands.length || bands[bands.length - 1].e !== FIRST + place * DAY_MS)
      bands.push({ t: FIRST + place * DAY_MS, e: 0, name: "" });
    const band = bands[bands.length - 1];
    band.e = FIRST + (place + 1) * DAY_MS;
    if (kind === "festival" && !band.name && range.to - range.from <= 100) band.name = pick(name);
  }
  return bands;
}

// --- kinds -----------------------------------------------------------------------------------------------------------

/** Return stacked bars of kinds over a range; kinds below 3 % of all are one. */
function stackOf(kinds, metric, namesOf, range, share = false) {
  const unit = unitOf(range);
  const sums = kindsIn(kinds, metric, range);
  const whole = sum(sums.map((each) => each.value));
  const large = sums
    .filter((each) => each.value >= 0.03 * whole)
    .slice(0, HUES.length - 1)
    .map((each) => each.word);
  const small = sums.filter((each) => !large.includes(each.word)).map((each) => each.word);
  const nameOfKind = (word) => pick(namesOf[word]);
  const rest = small.length === 1 ? nameOfKind(small[0]) : t("small_kinds");
  const order = [...large.map(nameOfKind), ...(small.length ? [rest] : [])];
  const bars = drawnSteps(range).flatMap((step) => {
    const counts = new Map(order.map((name) => [name, 0]));
    for (const { word, value } of kindsIn(kinds, metric, step)) {
      const name = large.includes(word) ? nameOfKind(word) : rest;
      counts.set(name, counts.get(name) + value);
    }
    const all = sum([...counts.values()]);
    return [...counts]
      .filter(([, value]) => value)
      .map(([name, value]) => ({
        t: begin(step),
        e: end(step),
        d: stepName(step),
        k: name,
        v: value,
        o: order.indexOf(name),
        s: number(value),
        p: percent((100 * value) / all),
      }));
  });
  return chart(220, [
    {
      data: rows(bars),
      mark: { type: "bar", orient: "vertical", stroke: "var(--paper)", strokeWidth: 0.5 },
      encoding: {
        x: timeX(range, unit),
        x2: { field: "e" },
        y: {
          field: "v",
          type: "quantitative",
          stack: share ? "normalize" : "zero",
          axis: share ? { ...countAxis, labelExpr: "format(datum.value, '.0%')" } : countAxis,
        },
        color: {
          field: "k",
          type: "nominal",
          title: null,
          sort: order,
          scale: colours(order, [...HUES.slice(0, order.length - (small.length ? 1 : 0)), "var(--c6)"]),
        },
        order: { field: "o", type: "quantitative" },
        tooltip: [
          { field: "d", title: t("date") },
          { field: "k", title: t("kind") },
          { field: "s", title: t("count") },
          { field: "p", title: t("share") },
        ],
      },
    },
  ]);
}

// --- hours -----------------------------------------------------------------------------------------------------------

/** Return a heat map of a figure per hour by weekday; one hue from light to dark. */
function heatOf(cells) {
  const top = Math.max(...cells.map((cell) => cell.v), 1);
  return chart(210, [
    {
      data: rows(
        cells.map((cell) => ({
          ...cell,
          w: t(`weekday_${cell.weekday + 1}`),
          s: number(cell.v),
          n: t("hour_of", { hour: cell.hour, next: cell.hour + 1 }),
        })),
      ),
      mark: { type: "rect", stroke: "var(--paper)", strokeWidth: 1 },
      encoding: {
        x: {
          field: "hour",
          type: "ordinal",
          title: t("hour"),
          axis: { labelAngle: 0, labelOverlap: "parity", domain: false, ticks: false },
        },
        y: { field: "w", type: "nominal", title: null, sort: null, axis: { domain: false, ticks: false } },
        color: {
          field: "v",
          type: "quantitative",
          title: t("messages_per_hour"),
          scale: { type: "quantize", domain: [0, top], range: HEAT },
          legend: {
            orient: "top",
            direction: "horizontal",
            format: top < 10 ? ".1f" : top < 10000 ? ",.0f" : "~s",
            gradientLength: 260,
          },
        },
        tooltip: [
          { field: "w", title: t("weekday") },
          { field: "n", title: t("hour") },
          { field: "s", title: t("messages_per_hour") },
        ],
      },
    },
  ]);
}

/** Return bars by hour of a day, and a line of what is usual if `usual` has it. */
function hoursOf(counts, name, usual, usualName) {
  const values = counts.map((value, hour) => ({
    hour,
    v: value,
    u: usual ? usual[hour] : null,
    s: number(value),
    r: usual ? number(usual[hour]) : "",
    n: t("hour_of", { hour, next: hour + 1 }),
  }));
  const x = { field: "hour", type: "ordinal", title: t("hour"), axis: { labelAngle: 0, labelOverlap: "parity" } };
  const domain = { domain: [name, ...(usual ? [usualName] : [])], range: ["var(--c1)", "var(--compared)"] };
  const color = (text) => ({ datum: text, type: "nominal", title: null, scale: domain, legend: usual ? {} : null });
  const tooltip = [
    { field: "n", title: t("hour") },
    { field: "s", title: name },
    ...(usual ? [{ field: "r", title: usualName }] : []),
  ];
  const layers = [
    {
      mark: { type: "bar" },
      encoding: {
        x,
        y: {
          field: "v",
          type: "quantitative",
          axis: { ...countAxis, tickMinStep: 1 },
          scale: figureScale([...counts, ...(usual || [])], true),
        },
        color: color(name),
        tooltip,
      },
    },
  ];
  if (usual)
    layers.push({
      mark: { type: "line", strokeDash: [5, 4], strokeWidth: 2 },
      encoding: { x, y: { field: "u", type: "quantitative" }, color: color(usualName) },
    });
  return chart(200, layers, { data: rows(values) });
}

// --- articles --------------------------------------------------------------------------------------------------------

/** Return the readers of an article up to each day after publishing, and those of a typical article. */
function curveOf(curve, typical) {
  const [one, two] = [t("this_article"), t("typical_article")];
  const points = [
    ...curve.map(([at, v]) => ({ at, v, k: one, s: number(v) })),
    ...typical.map(([at, v]) => ({ at, v, k: two, s: number(v) })),
  ];
  const scale = { domain: [one, two], range: ["var(--c1)", "var(--compared)"] };
  return chart(170, [
    {
      data: rows(points),
      mark: { type: "line", strokeWidth: 2, point: { size: 30, filled: true } },
      encoding: {
        x: {
          field: "at",
          type: "quantitative",
          title: t("days_after"),
          scale: { domain: [1, Math.max(...points.map((point) => point.at), 2)] },
          axis: { grid: false, tickMinStep: 1, format: "d" },
        },
        y: { field: "v", type: "quantitative", axis: countAxis },
        color: { field: "k", type: "nominal", title: null, scale },
        strokeDash: {
          field: "k",
          type: "nominal",
          scale: {
            domain: [one, two],
            range: [
              [1, 0],
              [5, 4],
            ],
          },
          title: null,
        },
        tooltip: [
          { field: "at", title: t("days_after") },
          { field: "k", title: t("article") },
          { field: "s", title: t("readers_so_far") },
        ],
      },
    },
  ]);
}

// --- calendar --------------------------------------------------------------------------------------------------------

/** Return the names of the months above the first week of each; a name that would touch the next one is left out. */
function monthHeads(cells, y) {
  const begins = [...new Set(cells.map((cell) => cell.month))]
    .sort((one, two) => one - two)
    .map((number) => ({
      x: Math.min(...cells.filter((cell) => cell.month === number).map((cell) => cell.x)),
      y,
      number,
    }));
  return begins
    .filter(({ x }, place) => place + 1 === begins.length || begins[place + 1].x - x > 2)
    .map((head) => ({ ...head, text: language === "zh" ? `${head.number}月` : MONTHS[head.number - 1] }));
}

/** Return a calendar with a square per day and a block of weeks per year; `days` are `{place, state, text}`. */
function calendarOf(days) {
  const years = [...new Set(days.map(({ place }) => isoOf(place).slice(0, 4)))].sort().reverse();
  const cells = days.map(({ place, state, text }) => {
    const iso = isoOf(place);
    const first = `${iso.slice(0, 4)}-01-01`;
    const week = Math.floor((placeOf(iso) - placeOf(first) + weekdayOf(first)) / 7);
    return {
      x: week,
      y: 8 * years.indexOf(iso.slice(0, 4)) + weekdayOf(iso) + 1,
      year: iso.slice(0, 4),
      month: Number(iso.slice(5, 7)),
      s: t(`state_${state}`),
      d: dayName(iso),
      n: text,
    };
  });
  const heads = years.flatMap((year, place) =>
    monthHeads(
      cells.filter((cell) => cell.year === year),
      8 * place,
    ),
  );
  const there = Object.keys(STATES).filter((state) => days.some((each) => each.state === state));
  const scale = {
    domain: there.map((state) => t(`state_${state}`)),
    range: there.map((state) => `var(--state-${STATES[state]})`),
  };
  const lines = [...Array(8 * years.length).keys()];
  const labels = lines.map((row) => (row % 8 ? (row % 2 ? t(`weekday_${row % 8}`) : "") : years[row / 8]));
  const y = {
    field: "y",
    type: "ordinal",
    scale: { domain: lines },
    title: null,
    axis: {
      domain: false,
      ticks: false,
      labelOverlap: false,
      labelExpr: `${JSON.stringify(labels)}[datum.value]`,
      labelFontSize: 11,
    },
  };
  const begins = years.length > 1 ? 0 : Math.min(...cells.map((cell) => cell.x)); // years are below each other
  const x = {
    field: "x",
    type: "ordinal",
    scale: { domain: [...Array(54).keys()].map((week) => begins + week) },
    axis: null,
  };
  return chart(8 * years.length * 13, [
    {
      data: rows(cells),
      mark: { type: "rect", stroke: "var(--paper)", strokeWidth: 1 },
      encoding: {
        x,
        y,
        color: { field: "s", type: "nominal", title: null, scale },
        tooltip: [
          { field: "d", title: t("date") },
          { field: "s", title: t("state") },
          { field: "n", title: t("endpoints") },
        ],
      },
    },
    { data: rows(heads), mark: { type: "text", align: "left", dx: -2 }, encoding: { x, y, text: { field: "text" } } },
  ]);
}

// --- drawing ---------------------------------------------------------------------------------------------------------

let waiting = [];
let views = [];
let drawing = 0;

/** Show the tooltip where a finger tapped; Vega shows it for a moving mouse only. */
function showFigures({ target, clientX, clientY }) {
  target.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX, clientY }));
}

/** Return the place of a chart, which `drawAll` draws; `label` says in words what it shows. */
function figure(label, spec) {
  const place = h("div", { class: "drawn", "aria-hidden": "true", click: showFigures });
  waiting.push([place, spec]);
  return h("div", { class: "chart", role: "img", "aria-label": label }, place);
}

/** Draw the charts that are waiting; a later call stops an earlier one. */
async function drawAll() {
  const turn = ++drawing;
  for (const [place, spec] of waiting.splice(0)) {
    if (turn !== drawing) return;
    try {
      const result = await vegaEmbed(place, spec, {
        renderer: "svg",
        actions: false,
        expressionFunctions: FUNCTIONS,
        tooltip: { theme: "page" },
      });
      views.push(result);
    } catch (error) {
      place.textContent = t("broken", { why: error.message });
      console.error(error);
    }
  }
  if (turn === drawing) document.body.dataset.drawn = "yes";
}

function forgetCharts() {
  waiting = [];
  for (const view of views.splice(0)) view.finalize();
}
