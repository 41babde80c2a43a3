import { h } from "./dom.js";

/** Of the style sheet, in pixels. */
const LINE = 20;
const ABOVE = 10;

/** A text with numbered lines, one of which may be marked as wrong. */
export function editor(label, value, { readOnly, changed }) {
  const text = h("textarea", { "aria-label": label, value, readOnly, spellcheck: "false", autocapitalize: "off", wrap: "off", oninput: edited, onscroll: scrolled });
  const numbers = h("div", { class: "numbers", "aria-hidden": "true" });
  const stripe = h("div", { class: "stripe", hidden: true });
  let wrong;

  function edited() {
    number();
    changed();
  }
  function number() {
    const lines = text.value.split("\n").length;
    numbers.replaceChildren(...Array.from({ length: lines }, (_, at) => h("div", { class: at + 1 === wrong && "wrong" }, String(at + 1))));
    scrolled();
  }
  function scrolled() {
    numbers.scrollTop = text.scrollTop;
    stripe.hidden = !wrong;
    if (wrong) stripe.style.top = `${ABOVE + (wrong - 1) * LINE - text.scrollTop}px`;
  }
  number();
  return {
    element: h("div", { class: "editor" }, stripe, numbers, text),
    get value() {
      return text.value;
    },
    /** Marks a line, or none. */
    mark(line) {
      wrong = line || undefined;
      text.setAttribute("aria-invalid", String(Boolean(wrong)));
      number();
    },
    jump(line) {
      const before = text.value.split("\n").slice(0, line - 1);
      const start = before.reduce((sum, { length }) => sum + length + 1, 0);
      const end = text.value.indexOf("\n", start);
      text.focus();
      text.setSelectionRange(start, end < 0 ? text.value.length : end);
      text.scrollTop = Math.max(0, (line - 5) * LINE);
    },
  };
}
