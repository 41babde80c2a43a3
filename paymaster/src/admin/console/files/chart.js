// Charts as inline SVG, drawn for the width that there is. What they show is also told in words.

import { h, svg } from "./dom.js";
import { amount, day, ether, moment, until } from "./format.js";

const HEIGHT = 220;
const [ABOVE, BELOW, BESIDE] = [10, 26, 78];

/** A round number that is not less. */
function ceiling(value) {
  if (value === 0n) return 1n;
  const power = 10n ** BigInt(value.toString().length - 1);
  return [1n, 2n, 3n, 4n, 5n, 6n, 8n, 10n].map((step) => step * power).find((step) => step >= value);
}

/** Bars by day: what was settled, and on top what is promised only. */
export function usageChart(rows, label, signal) {
  const place = h("div", { class: "chart" });
  const draw = () => place.replaceChildren(bars(rows, label, Math.max(280, place.clientWidth)));
  const watch = new ResizeObserver(draw);
  watch.observe(place);
  signal.addEventListener("abort", () => watch.disconnect());
  return h("div", { class: "meter" }, place, legend([["settled", "settled"], ["reserved", "promised, not settled"]]));
}

function bars(rows, label, width) {
  const totals = rows.map(({ settled, reserved }) => BigInt(settled) + BigInt(reserved));
  const most = totals.reduce((high, total) => (total > high ? total : high), 0n);
  const top = ceiling(most);
  const [tall, wide] = [HEIGHT - ABOVE - BELOW, width - BESIDE];
  const high = (wei) => Number((BigInt(wei) * 10_000n) / top) * (tall / 10_000);
  const step = wide / Math.max(1, rows.length);
  const bar = Math.max(2, Math.min(38, step * 0.68));
  // As many dates as fit.
  const every = Math.ceil(rows.length / Math.max(1, Math.floor(wide / 56)));
  const rules = [0n, 1n, 2n].map((half) => {
    const y = ABOVE + tall - (tall * Number(half)) / 2;
    const text = most === 0n && half > 0n ? "" : ether((top * half) / 2n);
    return svg("g", {}, svg("line", { class: "rule", x1: BESIDE, x2: width, y1: y, y2: y }), svg("text", { x: BESIDE - 8, y: y + 4, "text-anchor": "end" }, text));
  });
  const columns = rows.map(({ start, settled, reserved }, index) => {
    const x = BESIDE + step * index + (step - bar) / 2;
    const [low, promised] = [high(settled), high(reserved)];
    const said = `${day(start)}: ${ether(settled)} settled, ${ether(reserved)} promised`;
    const date = index % every === 0 && svg("text", { x: x + bar / 2, y: HEIGHT - 6, "text-anchor": "middle" }, day(start));
    return svg(
      "g",
      {},
      svg("title", {}, said),
      svg("rect", { x: BESIDE + step * index, y: ABOVE, width: step, height: tall, fill: "transparent" }),
      svg("rect", { class: "settled", x, y: ABOVE + tall - low, width: bar, height: low, rx: 3 }),
      svg("rect", { class: "reserved", x, y: ABOVE + tall - low - promised, width: bar, height: promised, rx: 3 }),
      date,
    );
  });
  const said = `${label}: ${rows.length} days, at most ${ether(most)} a day`;
  return svg("svg", { role: "img", "aria-label": said, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` }, ...rules, ...columns);
}

function legend(entries) {
  return h(
    "div",
    { class: "legend" },
    entries.map(([kind, text]) => h("span", {}, svg("svg", { "aria-hidden": "true", viewBox: "0 0 10 10" }, svg("rect", { class: kind, width: 10, height: 10, rx: 3 })), text)),
  );
}

/** The same, as a table. */
export function usageTable(rows) {
  const shown = rows.filter(({ settled, reserved }) => BigInt(settled) + BigInt(reserved) > 0n).reverse();
  const cells = ({ start, settled, reserved }) => h("tr", {}, h("td", {}, day(start)), h("td", {}, ether(settled)), h("td", {}, ether(reserved)));
  const head = h("tr", {}, ["Day (UTC)", "Settled", "Promised"].map((name) => h("th", { scope: "col" }, name)));
  return h(
    "details",
    {},
    h("summary", {}, "As a table"),
    shown.length
      ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Usage by day" }, h("table", {}, h("thead", {}, head), h("tbody", {}, shown.map(cells))))
      : h("p", { class: "soft" }, "Nothing in this time."),
  );
}

/** One limit: what is used of it, what remains, when it is whole again. */
export function meter({ of, unit, limit, reserved, settled, remaining, asked, resetsAt }) {
  const whole = BigInt(limit);
  const part = (value) => (whole === 0n ? 0 : Number((BigInt(value) * 10_000n) / whole) / 100);
  const [used, promised] = [Math.min(100, part(settled)), part(reserved)];
  const wanted = part(asked ?? 0);
  const span = (kind, from, width) => svg("rect", { class: kind, x: `${Math.min(from, 100)}%`, width: `${Math.max(0, Math.min(width, 100 - from))}%`, height: 10 });
  const unitName = unit === "operations" || unit === "operations in flight" ? ` ${unit}` : "";
  const left = `${amount(remaining, unit)} of ${amount(limit, unit)}${unitName} left`;
  return h(
    "div",
    { class: "meter" },
    h("div", { class: "row" }, h("strong", {}, of === "all" ? "All together" : of.replace(/^this/, "This")), h("span", { class: "end" }, left)),
    svg(
      "svg",
      { height: 10, role: "img", "aria-label": `${of}: ${left}` },
      svg("rect", { class: "empty", width: "100%", height: 10, rx: 5 }),
      span("settled", 0, used),
      span("reserved", used, promised),
      wanted > 0 && span("asked", used + promised, wanted),
    ),
    h(
      "div",
      { class: "row small soft" },
      h("span", {}, `${amount(settled, unit)} settled, ${amount(reserved, unit)} promised`),
      asked && BigInt(asked) > 0n && h("span", {}, `${amount(asked, unit)} asked for`),
      h("span", { class: "end", title: resetsAt ? moment(resetsAt) : undefined }, resetsAt ? `resets ${until(resetsAt)}` : "never resets"),
    ),
  );
}
