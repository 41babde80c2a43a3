// One operation.
import { card, h } from "./dom.js";
import { ether } from "./format.js";
import { ask } from "./rpc.js";
import { decoded, duration, facts, hex, number, party, searchLink, stage, time } from "./values.js";

const BAD = new Set(["refused", "dropped", "returned"]);

function step({ stage, work, at, tookMs, blockNumber, transactionHash, reason }, index) {
  return h(
    "li",
    { class: BAD.has(stage) ? "bad" : "" },
    h("div", { class: "row" }, h("strong", {}, stage), h("span", { class: "end soft small" }, index ? `+${duration(tookMs)}` : time(at))),
    h("div", { class: "row small soft" }, index > 0 && h("span", {}, work), h("span", {}, `block ${number(blockNumber)}`), transactionHash && hex(transactionHash)),
    reason && h("p", { class: "small break" }, reason),
  );
}

function timeline(life) {
  if (!life) return h("p", { class: "soft" }, "It did not go through this node since it started.");
  return [
    h("ol", { class: "timeline" }, ...life.steps.map(step)),
    facts(["In all", duration(life.totalMs)], ["Trace", h("code", { class: "break" }, life.traceId)]),
  ];
}

function call({ to, name, value, function: signature, selector, arguments: data }) {
  const words = decoded(signature, data);
  return h(
    "li",
    {},
    h("div", { class: "row" }, h("strong", {}, name ?? "unknown contract"), h("code", { class: "break" }, signature ?? selector ?? "plain transfer")),
    h("div", { class: "row small" }, h("span", { class: "soft" }, "at"), h("code", { class: "break" }, to), BigInt(value) > 0n && h("span", {}, `with ${ether(value)}`)),
    words.length > 0 && h("details", {}, h("summary", {}, `${words.length} arguments`), facts(...words.map(([name, value]) => [name, h("code", {}, value)]))),
  );
}

function calls(list) {
  if (!list) return h("p", { class: "soft" }, "Its calldata is another account's way to make calls.");
  return h("ul", { class: "list" }, ...list.map(call));
}

function failure({ status, receipt }) {
  if (receipt?.success === false) return h("p", { class: "note bad" }, `Mined, and its execution reverted: ${receipt.reason ?? "without a reason"}`);
  if (status?.reason) return h("p", { class: "note bad" }, `${status.status}: ${status.reason}`);
  return null;
}

function validation(life) {
  const checked = life?.validation;
  if (!checked) return h("p", { class: "soft" }, "This node has not validated it since it started.");
  const window = ({ validAfter, validUntil }) => `${BigInt(validAfter) ? `from ${time(Number(validAfter) * 1000)}` : "at once"}, ${validUntil ? `until ${time(Number(validUntil) * 1000)}` : "for ever"}`;
  return [
    facts(
      ["Gas", number(checked.gasUsed)],
      ["On block", h("code", { class: "break" }, checked.blockHash)],
      ["The account's word", window(checked.account)],
      checked.paymaster && ["The paymaster's word", window(checked.paymaster)],
      ["State read", `${checked.slots} slots, ${checked.accounts} accounts`],
      ["Code that it rests on", `${checked.codeHashes.length} contracts`],
      ...checked.entities.map(({ entity, address, stake }) => [entity, h("span", { class: "row" }, h("code", { class: "break" }, address), h("span", {}, `stake: ${stake}`))]),
    ),
    checked.codeHashes.length > 0 &&
      h("details", {}, h("summary", {}, "Code hashes"), facts(...checked.codeHashes.map(({ address, codeHash }) => [address, h("code", {}, codeHash)]))),
  ];
}

export async function operation(hash) {
  const seen = await ask("fabstir_explorerOperation", hash);
  if (!seen) return [card("Unknown operation", h("p", {}, h("code", { class: "break" }, hash)), h("p", { class: "soft" }, "This node and its index know nothing of it."))];
  const { status, receipt, operation: op, timeline: life } = seen;
  return [
    card(
      null,
      h("div", { class: "head" }, h("h2", { class: "break mono" }, hash), stage(status?.status, receipt?.success)),
      failure(seen),
      facts(
        ["Account", seen.sender && searchLink(seen.sender)],
        ["EntryPoint", seen.entryPoint && party(seen.entryPoint)],
        ["Who pays", op && party(seen.payer)],
        receipt && ["Paid", `${ether(receipt.actualGasCost)} for ${number(receipt.actualGasUsed)} gas`],
        receipt && ["Transaction", searchLink(receipt.transactionHash), ` in block ${number(receipt.blockNumber)}`],
      ),
    ),
    card("Timeline", timeline(life)),
    card("Calls", op ? calls(seen.calls) : h("p", { class: "soft" }, "The operation itself is not kept.")),
    card("Validation", validation(life)),
    op && card("Raw", h("details", {}, h("summary", {}, "The operation as JSON"), h("pre", { tabindex: "0" }, JSON.stringify(op, null, 2)))),
  ].filter(Boolean);
}
