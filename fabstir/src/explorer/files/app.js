// The frame, and which page is shown: #/, #/op/HASH, #/search/TEXT.
import { h } from "./dom.js";
import { operation } from "./operation.js";
import { overview } from "./overview.js";
import { search } from "./search.js";

const REFRESH = 2000;

const main = h("main", { id: "main" });
const title = h("h1", { tabindex: "-1" }, "Operations");
const input = h("input", { type: "search", id: "find", "aria-label": "Operation, account, transaction, job or session", placeholder: "Operation, account, job or session", autocomplete: "off", spellcheck: "false" });
const find = h("form", { class: "find", role: "search", onsubmit: go }, input, h("button", { class: "main", type: "submit" }, "Find"));
const brand = h("a", { class: "brand", href: "#/" }, h("img", { src: "icon.svg", alt: "" }), "Fabstir explorer");

document.getElementById("app").replaceChildren(h("div", { class: "explorer" }, h("header", { class: "top" }, brand, find), main));

function go(event) {
  event.preventDefault();
  const text = input.value.trim();
  if (text) location.hash = `#/search/${encodeURIComponent(text)}`;
}

function page() {
  const [, kind, text] = location.hash.match(/^#\/(op|search)\/(.+)$/) ?? [];
  if (kind === "op") return ["Operation", () => operation(text)];
  if (kind === "search") return ["Search", () => search(decodeURIComponent(text))];
  return ["Operations", overview];
}

let shown = 0;

/** Whoever has something open, or marked, is not disturbed by what is new. */
const busy = () => main.querySelector("details[open]") !== null || String(getSelection()) !== "" || main.contains(document.activeElement);

async function show(again) {
  const [name, make] = page();
  const mine = again ? shown : ++shown;
  document.title = name;
  let parts;
  try {
    parts = await make();
  } catch (error) {
    parts = [h("p", { class: "note bad", role: "alert" }, error.message)];
  }
  if (mine !== shown || (again && busy())) return;
  title.textContent = name;
  const top = scrollY;
  main.replaceChildren(title, ...parts);
  if (again) scrollTo(0, top);
}

addEventListener("hashchange", () => {
  show(false).then(() => title.focus({ preventScroll: true }));
  scrollTo(0, 0);
});
setInterval(() => document.hidden || location.hash.startsWith("#/search/") || busy() || show(true), REFRESH);
show(false);
