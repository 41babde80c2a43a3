// Addresses, hashes, stages and calldata as people read them.
import { h, pill } from "./dom.js";
import { short } from "./format.js";

const GOOD = new Set(["mined", "settled", "included", "safe"]);
const BAD = new Set(["dropped", "refused"]);

/** Where an operation stands, in a word and a colour. */
export function stage(name, success) {
  if (name === undefined || name === null) return pill("", "unknown");
  if (BAD.has(name)) return pill("bad", name);
  if (GOOD.has(name)) return success === false ? pill("bad", `${name}, reverted`) : pill("good", name);
  return pill("warn", name);
}

/** A hash or an address, whole to a mouse, short to the eye. */
export const hex = (text) => h("code", { title: text }, short(text));

export const operationLink = (hash) => h("a", { href: `#/op/${hash}` }, hex(hash));

export const searchLink = (text) => h("a", { href: `#/search/${text}` }, hex(text));

/** `{address, name}`. */
export const party = ({ address, name }) =>
  h("span", { class: "row" }, name && h("strong", {}, name), h("code", { class: "break" }, address));

export const number = (quantity) => (quantity === null || quantity === undefined ? "–" : BigInt(quantity).toLocaleString("en"));

/** Milliseconds with as many digits as they deserve. */
export function duration(millis) {
  if (millis < 10) return `${millis.toFixed(2)} ms`;
  if (millis < 1000) return `${millis.toFixed(0)} ms`;
  return `${(millis / 1000).toFixed(2)} s`;
}

export const time = (millis) => new Date(millis).toISOString().replace("T", " ").replace("Z", " UTC");

/** Names with their values. */
export const facts = (...rows) =>
  h("dl", { class: "facts" }, ...rows.filter(Boolean).map(([name, ...value]) => h("div", {}, h("dt", {}, name), h("dd", {}, ...value))));

/** The arguments of a call, word by word; by type where the function's are all of one word. */
export function decoded(signature, data) {
  const types = signature?.slice(signature.indexOf("(") + 1, -1).split(",").filter(Boolean) ?? [];
  const words = data.slice(2).match(/.{1,64}/g) ?? [];
  const single = types.length === words.length && types.every((type) => /^(address|bool|bytes32|u?int\d*)$/.test(type));
  return words.map((word, index) => (single ? [types[index], value(types[index], word)] : [`word ${index}`, `0x${word}`]));
}

function value(type, word) {
  if (type === "address") return `0x${word.slice(24)}`;
  if (type === "bool") return BigInt(`0x${word}`) === 1n ? "true" : "false";
  if (type.startsWith("uint")) return BigInt(`0x${word}`).toString();
  if (type.startsWith("int")) return BigInt.asIntN(256, BigInt(`0x${word}`)).toString();
  return `0x${word}`;
}
