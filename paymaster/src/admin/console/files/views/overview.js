import { get, send } from "../api.js";
import { usageChart } from "../chart.js";
import { card, confirm, h, notice, pill } from "../dom.js";
import { ether } from "../format.js";
import { may, on, refresh, session } from "../session.js";
import { decision } from "./decisions.js";

export const title = "Overview";

const DAYS = 14;
const LATEST = 5;

export async function show({ signal }) {
  const policies = session.status.policies.map((id) => get(`/v1/usage?policy=${encodeURIComponent(id)}&days=${DAYS}`));
  const [budgets, deposits, ...usage] = await Promise.all([get("/v1/budgets"), get("/v1/deposits"), ...policies]);
  const total = (usage[0] ?? []).map(({ start }, index) => ({
    start,
    settled: usage.reduce((sum, days) => sum + BigInt(days[index].settled), 0n),
    reserved: usage.reduce((sum, days) => sum + BigInt(days[index].reserved), 0n),
  }));
  return [
    theSwitch(signal),
    figures(total.at(-1), budgets, deposits, signal),
    card("What sponsorship cost, by day", usageChart(total, "What all policies cost, by day", signal)),
    latest(signal),
  ];
}

function theSwitch(signal) {
  const text = h("div", { class: "figure" });
  const button = h("button", { type: "button", onclick: turn, disabled: !may("operator") });
  const draw = () => {
    const { paused, key, role } = session.status;
    text.replaceChildren(
      h("strong", {}, paused ? "Paused" : "Sponsoring"),
      h(
        "span",
        { class: "soft" },
        paused ? "Nothing is signed. Signatures that are out stay good until they expire." : "Requests are decided by policy.",
        ` You are ${key} (${role}).`,
      ),
    );
    button.textContent = paused ? "Resume sponsorship" : "Pause sponsorship";
    button.className = paused ? "main" : "stop";
  };
  async function turn() {
    const { paused } = session.status;
    if (!paused && !(await confirm("Pause all sponsorship?", "Every request is denied until it is resumed, also after a restart.", "Pause"))) {
      return;
    }
    await send("POST", paused ? "/v1/resume" : "/v1/pause");
    notice(paused ? "good" : "warn", paused ? "Sponsorship goes on." : "Sponsorship is paused.");
    await refresh();
  }
  draw();
  on("status", draw, signal);
  return h("section", { class: "card", "aria-label": "Pause switch" }, h("div", { class: "head" }, text, h("span", { class: "end" }, button)));
}

function figures(today, budgets, deposits, signal) {
  const figure = (label, value, ...more) =>
    h("div", { class: "card figure" }, h("span", { class: "soft" }, label), h("strong", {}, value), h("span", { class: "small soft" }, ...more));
  const [all] = budgets.all;
  const lowest = deposits.reduce((low, row) => (BigInt(row.deposit) < BigInt(low.deposit) ? row : low), deposits[0]);
  const { drift, unreserved } = budgets.standing;
  const inOrder = BigInt(drift) === 0n && BigInt(unreserved) === 0n;
  const counts = h("div", { class: "through" });
  const count = () => {
    const sum = (name) => Object.values(session.status.counts).reduce((total, of) => total + of[name], 0);
    counts.replaceChildren(figure("Since the node started", `${sum("sponsored")} sponsored`, `${sum("denied")} denied`));
  };
  count();
  on("status", count, signal);
  return h(
    "div",
    { class: "grid" },
    figure("Today, all policies", ether(BigInt(today?.settled ?? 0) + BigInt(today?.reserved ?? 0)), `${ether(today?.reserved ?? 0)} of it is promised only`),
    counts,
    figure("Left for today", ether(all.remaining), `of ${ether(all.limit)}`),
    figure(
      "Lowest deposit",
      lowest ? ether(lowest.deposit) : "none",
      lowest && `EntryPoint ${lowest.version} `,
      inOrder ? pill("good", "books agree") : pill("bad", "books do not agree"),
    ),
  );
}

function latest(signal) {
  const list = h("ul", { class: "list" });
  const draw = () => {
    const denials = session.decisions.filter((decided) => !decided.sponsored).slice(0, LATEST);
    list.replaceChildren(...denials.map(decision));
    if (!denials.length) list.append(h("li", { class: "soft" }, "None since the node started."));
  };
  draw();
  on("decision", draw, signal);
  return card(
    null,
    h("div", { class: "head" }, h("h2", {}, "Latest denials"), h("a", { class: "end", href: "#/decisions" }, "All decisions")),
    list,
  );
}
