import { field, h } from "../dom.js";
import { logIn as use } from "../session.js";

/** Asks for a key until one is good. */
export function logIn(app) {
  return new Promise((resolve) => {
    const key = h("input", { type: "password", autocomplete: "off", required: true, spellcheck: "false" });
    const wrong = h("p", { class: "note bad", role: "alert", hidden: true });
    const enter = async (event) => {
      event.preventDefault();
      wrong.hidden = true;
      try {
        await use(key.value.trim());
        resolve();
      } catch (error) {
        wrong.textContent = error.status === 401 ? "This key is not known." : error.message;
        wrong.hidden = false;
        key.focus();
      }
    };
    document.title = "Paymaster console";
    app.replaceChildren(
      h(
        "main",
        { class: "login" },
        h("img", { src: "icon.svg", alt: "" }),
        h("h1", {}, "Paymaster console"),
        h(
          "form",
          { class: "card", onsubmit: enter },
          field("Admin key", key, "Kept in this tab only, until you log out or close it."),
          wrong,
          h("button", { class: "main", type: "submit" }, "Log in"),
        ),
      ),
    );
    key.focus();
  });
}
