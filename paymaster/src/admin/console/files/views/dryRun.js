import { sendJson } from "../api.js";
import { meter } from "../chart.js";
import { card, field, h, pill } from "../dom.js";
import { ether, short } from "../format.js";
import { session } from "../session.js";

/** What would become of an operation under the text in the editor. */
export function dryRun(id, keys, source) {
  const operation = h("textarea", { rows: "8", spellcheck: "false", required: true, placeholder: '{ "sender": "0x…", "callData": "0x…", … }' });
  const entryPoint = h(
    "select",
    {},
    session.status.paymasters.map(({ entryPoint, version }) =>
      h("option", { value: entryPoint, selected: version === "v0.8" }, `${version}  ${short(entryPoint)}`),
    ),
  );
  const key = h("select", {}, h("option", { value: "" }, "none"), keys.map((name) => h("option", { value: name }, name)));
  const result = h("div", { role: "status", "aria-live": "polite" });
  const run = async (event) => {
    event.preventDefault();
    try {
      const body = { ...read(operation.value, entryPoint.value), source: source(), key: key.value || undefined };
      result.replaceChildren(explained(await sendJson(`/v1/policies/${encodeURIComponent(id)}/dry-run`, body)));
    } catch (error) {
      result.replaceChildren(h("p", { class: "note bad" }, error.message));
    }
  };
  return card(
    "Dry run",
    h("p", { class: "soft" }, "Whether the text above would sponsor an operation, and why not. Nothing is set aside, and no webhook is asked."),
    h(
      "form",
      { class: "card", onsubmit: run },
      field("User operation", operation, "As JSON; or a whole JSON-RPC request that has it as its first parameter."),
      h("div", { class: "fields" }, field("EntryPoint", entryPoint), keys.length > 0 && field("API key", key), h("div", {}, h("button", { type: "submit" }, "Dry run"))),
    ),
    result,
  );
}

function read(text, chosen) {
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("The user operation is no JSON.");
  }
  if (!Array.isArray(json.params)) return { userOperation: json, entryPoint: chosen };
  const [userOperation, entryPoint] = json.params;
  return { userOperation, entryPoint: typeof entryPoint === "string" ? entryPoint : chosen };
}

function explained({ sponsored, rule, call, reason, maxCost, calls, limits }) {
  return h(
    "div",
    { class: "card" },
    h(
      "p",
      { class: `note ${sponsored ? "good" : "bad"}` },
      h("strong", {}, sponsored ? "Would be sponsored. " : "Would be denied. "),
      reason,
      rule && [" Rule ", h("code", {}, rule), call && [", call ", h("code", {}, call)], "."],
    ),
    h("p", { class: "small soft" }, `Worst case: ${ether(maxCost)}`),
    calls.length > 0 && h("h3", {}, "Calls"),
    calls.length > 0 && h("ul", { class: "list" }, calls.map(one)),
    limits.length > 0 && h("h3", {}, "Limits"),
    limits.map((limit) => meter(limit)),
  );
}

function one({ path, target, selector, value, delegatecall, sponsored, rule, reason }) {
  return h(
    "li",
    {},
    h(
      "div",
      { class: "row" },
      sponsored ? pill("good", rule) : pill("bad", rule ?? "no rule"),
      h("code", {}, path),
      h("span", { class: "mono", title: target }, short(target)),
      selector && h("code", {}, selector),
      BigInt(value) > 0n && h("span", {}, `sends ${ether(value)}`),
      delegatecall && pill("warn", "delegatecall"),
    ),
    reason && h("p", { class: "small break" }, reason),
  );
}
