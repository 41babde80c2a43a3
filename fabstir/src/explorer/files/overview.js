// What is going on: pool, bundles, the newest operations; anew every two seconds.
import { card, h } from "./dom.js";
import { clock } from "./format.js";
import { ask } from "./rpc.js";
import { hex, number, operationLink, searchLink, stage } from "./values.js";

const figure = (name, value, id) => h("div", { class: "figure" }, h("span", { class: "soft small" }, name), h("strong", { id }, value));

const line = (operation, ...more) =>
  h(
    "li",
    {},
    h("div", { class: "row" }, operationLink(operation.userOpHash), stage(operation.stage, operation.success), h("span", { class: "end soft small" }, when(operation))),
    h("div", { class: "row small" }, h("span", { class: "soft" }, "by"), searchLink(operation.sender), ...more),
    operation.reason && h("p", { class: "small break" }, operation.reason),
  );

const when = ({ at, since, blockNumber }) => (at ?? since ? clock((at ?? since) / 1000) : `block ${number(blockNumber)}`);

export const list = (operations, empty) =>
  operations.length ? h("ul", { class: "list" }, ...operations.map((operation) => line(operation))) : h("p", { class: "soft" }, empty);

function bundle({ transactionHash, operations }) {
  return h(
    "li",
    {},
    h("div", { class: "row" }, h("span", { class: "soft" }, "transaction"), hex(transactionHash)),
    h("div", { class: "row small" }, h("span", { class: "soft" }, `operations: ${operations.length}`), ...operations.slice(0, 8).map(operationLink)),
  );
}

export async function overview() {
  const seen = await ask("fabstir_explorerOverview");
  return [
    card(
      null,
      h(
        "div",
        { class: "grid" },
        figure("Block", number(seen.blockNumber), "block"),
        figure("In the pool", `${seen.poolSize} of ${seen.poolLimit}`, "pool-size"),
        figure("Bundles in flight", String(seen.bundles.length), "bundles"),
        figure("Chain", String(BigInt(seen.chainId))),
      ),
    ),
    card("Pool", list(seen.pool, "Nothing waits.")),
    card("Bundles in flight", seen.bundles.length ? h("ul", { class: "list" }, ...seen.bundles.map(bundle)) : h("p", { class: "soft" }, "None.")),
    card("Newest operations", list(seen.newest, "None came since this node started.")),
  ];
}
