// Elements from calls. Text is always text: nothing here makes markup of a string.

const SVG = "http://www.w3.org/2000/svg";

/** Attributes; `on…` are listeners, and what an element has as a property of these names is set as one. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "readOnly"]);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

let names = 0;

/** A labelled field. */
export function field(label, input, hint) {
  input.id ||= `field-${++names}`;
  let described;
  if (hint) {
    described = h("span", { class: "small soft", id: `${input.id}-hint` }, hint);
    input.setAttribute("aria-describedby", described.id);
  }
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, described);
}

export const pill = (kind, ...children) => h("span", { class: `pill ${kind}` }, ...children);

export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", {}, title), ...children);

/** One of several, by buttons. */
export function choice(label, options, chosen, changed) {
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text),
  );
  function choose(value) {
    options.forEach(([other], index) => buttons[index].setAttribute("aria-pressed", String(other === value)));
    changed(value);
  }
  return h("div", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}

/** Says something for a moment, to the eye and to a screen reader. */
export function notice(kind, text) {
  const note = h("div", { class: `note ${kind}` }, text);
  document.getElementById("notices").replaceChildren(note);
  setTimeout(() => note.remove(), 6000);
}

/** Asks before something is done that others notice. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "confirm-title", onclose: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) },
      h(
        "div",
        {},
        h("h2", { id: "confirm-title" }, title),
        h("p", { class: "soft" }, text),
        h(
          "div",
          { class: "row" },
          h("button", { class: "main", type: "button", onclick: () => dialog.close("yes") }, yes),
          h("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel"),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
