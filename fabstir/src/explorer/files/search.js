// What a text names, and the operations that have to do with it.
import { card, h } from "./dom.js";
import { list } from "./overview.js";
import { ask } from "./rpc.js";

const KINDS = {
  sender: "Operations of the account",
  transaction: "Operations in the transaction",
  job: "Operations about the job",
  session: "Operations about the session",
};

export async function search(text) {
  const { kind, operations } = await ask("fabstir_explorerSearch", text);
  if (kind === "operation") {
    location.replace(`#/op/${operations[0].userOpHash}`);
    return [];
  }
  const subject = h("code", { class: "break" }, text);
  if (kind === "nothing") {
    return [card("Nothing found", h("p", {}, subject), h("p", { class: "soft" }, "It is no operation, account, transaction, job or session of the last six hours."))];
  }
  return [card(KINDS[kind], h("p", {}, subject), list(operations, "None in the last six hours."))];
}
