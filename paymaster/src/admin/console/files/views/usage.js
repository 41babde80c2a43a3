import { get, query } from "../api.js";
import { usageChart, usageTable } from "../chart.js";
import { card, choice, field, h } from "../dom.js";
import { ether, short } from "../format.js";
import { session } from "../session.js";

export const title = "Usage";

export async function show({ signal }, of = "policy", ...rest) {
  const place = h("div", { class: "card" });
  const result = h("div", {});
  const draw = async (path, label) => {
    const answer = await get(path);
    if (signal.aborted) return;
    const shown = Array.isArray(answer) ? days(answer, label, signal) : once(answer, label);
    result.replaceChildren(shown);
  };
  const forms = { policy: () => ofPolicy(draw), user: () => ofUser(draw, rest[0]), job: () => ofJob(draw, ...rest) };
  const choose = (value) => {
    rest = value === of ? rest : [];
    of = value;
    result.replaceChildren();
    place.replaceChildren(forms[value]());
  };
  const options = [["policy", "Policy"], ["user", "User"], ["job", "Job or session"]];
  if (!(of in forms)) of = "policy";
  place.append(forms[of]());
  return [h("div", {}, choice("Usage of", options, of, choose)), place, result];
}

const spans = () => h("select", {}, [7, 14, 30, 90].map((days) => h("option", { value: String(days), selected: days === 14 }, `${days} days`)));

/** A form that asks when it is sent, and when a choice changes. */
function form(fields, ask) {
  const go = (event) => (event?.preventDefault(), ask());
  const built = h("form", { class: "fields", onsubmit: go, onchange: (event) => event.target.matches("select") && built.requestSubmit() }, ...fields);
  return built;
}

function ofPolicy(draw) {
  const [policy, span] = [h("select", {}, session.status.policies.map((id) => h("option", { value: id }, id))), spans()];
  const ask = () => draw(query("/v1/usage", { policy: policy.value, days: span.value }), `What the policy ${policy.value} cost, by day`);
  ask();
  return form([field("Policy", policy), field("Span", span)], ask);
}

const lately = (pick) => [...new Set(session.decisions.flatMap(pick))].slice(0, 20);

function ofUser(draw, given = "") {
  const user = h("input", { value: given, required: true, pattern: "0x[0-9a-fA-F]{40}", placeholder: "0x…", list: "users", spellcheck: "false", autocomplete: "off" });
  const known = h("datalist", { id: "users" }, lately(({ sender }) => sender).map((sender) => h("option", { value: sender })));
  const span = spans();
  const ask = () => user.value && draw(query("/v1/usage", { user: user.value, days: span.value }), `What ${short(user.value)} cost, by day`);
  ask();
  return form([field("Account", user), known, field("Span", span), h("div", {}, h("button", { type: "submit" }, "Show"))], ask);
}

function ofJob(draw, kind = "job", market = "", job = "") {
  const input = (value, bytes) => h("input", { value, required: true, pattern: `0x[0-9a-fA-F]{${2 * bytes}}`, placeholder: "0x…", spellcheck: "false", autocomplete: "off" });
  const fields = [
    h("select", {}, ["job", "session"].map((value) => h("option", { value, selected: value === kind }, value))),
    input(market, 20),
    input(job, 32),
  ];
  const ask = () => {
    const [kind, market, job] = fields.map((field) => field.value);
    if (market && job) draw(query("/v1/usage", { kind, market, job }), `What ${kind} ${short(job)} cost`);
  };
  ask();
  const recent = lately(({ jobs }) => jobs.map(({ kind, market, id }) => `${kind}/${market}/${id}`));
  return h(
    "div",
    { class: "card" },
    form([field("Kind", fields[0]), field("Marketplace", fields[1]), field("Id", fields[2]), h("div", {}, h("button", { type: "submit" }, "Show"))], ask),
    recent.length > 0 &&
      h("div", { class: "row small" }, "Sponsored lately:", recent.map((path) => h("a", { class: "mono", href: `#/usage/job/${path}` }, short(path.split("/").at(-1))))),
  );
}

function days(rows, label, signal) {
  const total = rows.reduce((sum, { settled, reserved }) => sum + BigInt(settled) + BigInt(reserved), 0n);
  return card(label, h("p", { class: "soft" }, `${ether(total)} in all`), usageChart(rows, label, signal), usageTable(rows));
}

function once({ reserved, settled }, label) {
  const figure = (name, value) => h("div", { class: "figure" }, h("span", { class: "soft" }, name), h("strong", {}, ether(value)));
  return card(label, h("div", { class: "grid" }, figure("Settled", settled), figure("Promised, not settled yet", reserved)));
}
