import { get } from "../api.js";
import { card, h, pill } from "../dom.js";
import { moment, short } from "../format.js";

export const title = "Audit log";
export const role = "admin";

const MOST = 200;

export async function show() {
  const entries = await get(`/v1/audit?limit=${MOST}`);
  const list = entries.length ? entries.map(one) : h("li", { class: "soft" }, "Nothing was changed yet.");
  return [
    card(
      null,
      h("p", { class: "soft" }, "What was changed and by whom, newest first. Each line has the hash of the one before; note the last one elsewhere."),
      h("ul", { class: "list" }, list),
    ),
  ];
}

function one({ number, at, actor, action, detail, hash }) {
  const more = Object.keys(detail ?? {}).length > 0;
  return h(
    "li",
    {},
    h("div", { class: "row" }, pill("", `#${number}`), h("strong", {}, action), h("span", {}, `by ${actor}`), h("time", { class: "end soft small", datetime: new Date(at * 1000).toISOString() }, moment(at))),
    h("span", { class: "small soft mono", title: hash }, short(hash)),
    more && h("details", {}, h("summary", {}, "Details"), h("pre", { tabindex: "0" }, detailed(detail))),
  );
}

/** The text of a policy as it was written, the rest as JSON. */
const detailed = ({ source, ...rest }) => [JSON.stringify(rest, null, 2), source].filter(Boolean).join("\n\n");
