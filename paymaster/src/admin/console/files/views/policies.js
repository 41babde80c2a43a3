import { get } from "../api.js";
import { card, field, h, pill } from "../dom.js";
import { moment } from "../format.js";
import { may, session } from "../session.js";

export const title = "Policies";

export async function show() {
  const policies = await get("/v1/policies");
  const { counts, editable } = session.status;
  return [
    !editable && h("p", { class: "note" }, "These are built in. Start the node with --policies to change them."),
    h("div", { class: "grid wide" }, ...policies.map((policy) => one(policy, counts[policy.id]))),
    editable && may("admin") && fresh(),
  ].filter(Boolean);
}

function one({ id, description, default: isDefault, keys, calls, starts, ends }, counts) {
  return h(
    "article",
    { class: "card" },
    h(
      "div",
      { class: "head" },
      h("h2", {}, h("a", { href: `#/policy/${encodeURIComponent(id)}` }, id)),
      isDefault && pill("", "default"),
      keys.length > 0 && pill("", `${keys.length} ${keys.length === 1 ? "key" : "keys"}`),
    ),
    description && h("p", { class: "soft" }, description),
    h("p", { class: "small break" }, calls.length ? `Calls: ${calls.join(", ")}` : "No call rules"),
    (starts || ends) && h("p", { class: "small soft" }, starts && `From ${moment(starts)} `, ends && `until ${moment(ends)}`),
    h("p", { class: "small soft" }, `${counts?.sponsored ?? 0} sponsored, ${counts?.denied ?? 0} denied since the node started`),
  );
}

function fresh() {
  const name = h("input", { required: true, pattern: "[A-Za-z0-9_\\-]+", autocomplete: "off", spellcheck: "false" });
  const open = (event) => {
    event.preventDefault();
    location.hash = `#/policy/${encodeURIComponent(name.value)}`;
  };
  return card("New policy", h("form", { class: "fields", onsubmit: open }, field("Name", name), h("div", {}, h("button", { type: "submit" }, "Write it"))));
}
