import { get } from "../api.js";
import { card, h, pill } from "../dom.js";
import { ether, moment, short } from "../format.js";
import { session } from "../session.js";

export const title = "Deposit and stake";

export async function show() {
  const [deposits, { standing }] = await Promise.all([get("/v1/deposits"), get("/v1/budgets")]);
  return [h("div", { class: "grid wide" }, deposits.map(one)), books(standing), signers()];
}

function one({ entryPoint, version, paymaster, deposit, staked, stake, unstakeDelaySec }) {
  return h(
    "article",
    { class: "card" },
    h("div", { class: "head" }, h("h2", {}, `EntryPoint ${version}`), staked ? pill("good", "staked") : pill("warn", "not staked")),
    h("div", { class: "figure" }, h("span", { class: "soft" }, "Deposit"), h("strong", {}, ether(deposit))),
    h("p", { class: "soft" }, staked ? `Stake ${ether(stake)}, ${unstakeDelaySec / 3600} h to unlock` : "No stake: bundlers hold operations of it to stricter rules."),
    h("p", { class: "small soft" }, "Paymaster ", h("span", { class: "mono", title: paymaster }, short(paymaster)), ", EntryPoint ", h("span", { class: "mono", title: entryPoint }, short(entryPoint))),
  );
}

function books({ block, spent, unreserved, drift, deepReorgs }) {
  const inOrder = [unreserved, drift].every((wei) => BigInt(wei) === 0n) && deepReorgs === 0;
  const row = (name, value, why) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value), h("td", { class: "soft" }, why));
  return card(
    null,
    h("div", { class: "head" }, h("h2", {}, "Books and chain"), inOrder ? pill("good", "agree") : pill("bad", "do not agree")),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Books and chain" },
      h(
        "table",
        {},
        h(
          "tbody",
          {},
          row("Spent", ether(spent), "by all our paymasters since the ledger began"),
          row("Unreserved", ether(unreserved), "of it, that nothing was set aside for: the key is used elsewhere"),
          row("Drift", ether(drift), "missing from the deposits beyond what was spent"),
          row("Deep reorganisations", String(deepReorgs), "deeper than what counts as final"),
          block && row("Seen up to", `block ${block.number}`, moment(block.at)),
        ),
      ),
    ),
  );
}

function signers() {
  const list = session.status.signers.map((address) => h("li", { class: "mono break" }, address));
  return card("Keys that sign", h("ul", { class: "list" }, list));
}
