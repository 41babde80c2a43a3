import { get, query } from "../api.js";
import { meter } from "../chart.js";
import { card, field, h } from "../dom.js";

export const title = "Budgets";

export async function show({ signal }) {
  const input = (attributes) => h("input", { spellcheck: "false", autocomplete: "off", ...attributes });
  const user = input({ pattern: "0x[0-9a-fA-F]{40}", placeholder: "0x…" });
  const key = input({});
  const place = h("div", { class: "grid wide" });
  const draw = async () => {
    const { all, policies } = await get(query("/v1/budgets", { user: user.value, key: key.value }));
    if (signal.aborted) return;
    const limits = (rows) => (rows.length ? rows.map((limit) => meter(limit)) : h("p", { class: "soft" }, "No limit of these."));
    place.replaceChildren(
      card("All policies together", limits(all)),
      ...policies.map(({ policyId, limits: rows }) => card(policyId, limits(rows))),
    );
  };
  const ask = (event) => (event.preventDefault(), draw());
  await draw();
  return [
    card(
      null,
      h("p", { class: "soft" }, "What may still be promised. Limits of one account or API key are shown when it is named."),
      h("form", { class: "fields", onsubmit: ask }, field("Account", user), field("Name of an API key", key), h("div", {}, h("button", { type: "submit" }, "Show"))),
    ),
    place,
  ];
}
