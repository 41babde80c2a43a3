import { card, choice, h, pill } from "../dom.js";
import { clock, ether, moment, short } from "../format.js";
import { on, session } from "../session.js";

export const title = "Live decisions";

/** One of them, as an item of a list. */
export function decision(decided) {
  const { at, sponsored, policyId, sender, rule, call, reason, maxCost, jobs } = decided;
  return h(
    "li",
    { class: "decision" },
    h(
      "div",
      { class: "row" },
      sponsored ? pill("good", "sponsored") : pill("bad", "denied"),
      policyId ? h("a", { href: `#/policy/${encodeURIComponent(policyId)}` }, policyId) : h("span", { class: "soft" }, "no policy"),
      rule && h("span", {}, "rule ", h("code", {}, rule)),
      call && h("span", {}, "call ", h("code", {}, call)),
      h("time", { class: "end soft small", datetime: new Date(at * 1000).toISOString(), title: moment(at) }, clock(at)),
    ),
    reason && h("p", { class: "break" }, reason),
    h(
      "div",
      { class: "row small soft" },
      h("a", { href: `#/usage/user/${sender}`, class: "mono", title: sender }, short(sender)),
      maxCost && h("span", {}, `at most ${ether(maxCost)}`),
      jobs.map(({ kind, market, id }) =>
        h("a", { href: `#/usage/job/${kind}/${market}/${id}`, title: id }, `${kind} `, h("span", { class: "mono" }, short(id))),
      ),
    ),
  );
}

export async function show({ signal }) {
  const list = h("ul", { class: "list" });
  const state = h("span", { class: "end" });
  let wanted = "denied";
  const draw = () => {
    const shown = session.decisions.filter(({ sponsored }) => wanted === "all" || sponsored === (wanted === "sponsored"));
    list.replaceChildren(...shown.map(decision));
    if (!shown.length) list.append(h("li", { class: "soft" }, "None since the node started."));
    state.replaceChildren(session.live ? pill("good", h("span", { class: "dot" }), "live") : pill("warn", "connecting"));
  };
  const choose = (value) => ((wanted = value), draw());
  const options = [["denied", "Denied"], ["sponsored", "Sponsored"], ["all", "All"]];
  draw();
  on("decision", draw, signal);
  return [card(null, h("div", { class: "head" }, choice("Which decisions", options, wanted, choose), state), list)];
}
