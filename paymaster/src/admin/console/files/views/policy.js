import { get, send } from "../api.js";
import { card, h, notice, pill } from "../dom.js";
import { editor } from "../editor.js";
import { may, session } from "../session.js";
import { dryRun } from "./dryRun.js";

export const title = "Policy";

/** Time without a keystroke after which a text is checked. */
const PAUSE = 300;

const BEGINNING = `description = ""

[account]
existing = "any"

[[call]]
name = "first"
to = ["@job_marketplace"]

[[limit]]
per = "operation"
amount = "0.01 ether"
`;

export async function show({ signal, heading }, id) {
  heading.textContent = id;
  const path = `/v1/policies/${encodeURIComponent(id)}`;
  const found = await get(path).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  let saved = found?.source ?? "";
  const writable = session.status.editable && may("admin");
  const text = editor(`Text of the policy ${id}`, found?.source ?? BEGINNING, { readOnly: !session.status.editable, changed });
  const verdict = h("div", { role: "status", "aria-live": "polite" });
  const save = h("button", { class: "main", type: "button", disabled: true, onclick: put }, "Save and put in force");
  let timer;
  let asked = 0;

  function changed() {
    clearTimeout(timer);
    save.disabled = true;
    timer = setTimeout(check, PAUSE);
  }
  async function check() {
    const mine = ++asked;
    const problem = await send("POST", `${path}/check`, text.value).then(() => null, (error) => error);
    if (mine !== asked || signal.aborted) return;
    tell(problem);
    save.disabled = Boolean(problem) || text.value === saved;
  }
  function tell(problem) {
    text.mark(problem?.policy?.line);
    const said = problem ? wrong(problem) : h("p", { class: "note good" }, text.value === saved ? "As it is in force." : "This text is a policy. It is not in force yet.");
    verdict.replaceChildren(said);
  }
  function wrong({ policy, message }) {
    if (!policy?.line) return h("p", { class: "note bad" }, message);
    const where = `Line ${policy.line}, column ${policy.column}`;
    const jump = h("button", { type: "button", onclick: () => text.jump(policy.line) }, where);
    return h("p", { class: "note bad" }, jump, ": ", policy.field && h("code", {}, policy.field), policy.field && ": ", policy.message);
  }
  async function put() {
    const written = text.value;
    try {
      await send("PUT", path, written);
    } catch (error) {
      tell(error);
      return;
    }
    saved = written;
    notice("good", `${id} is in force.`);
    check();
  }

  if (session.status.editable) check();
  return [
    card(
      null,
      h(
        "div",
        { class: "head" },
        h("h2", {}, "Text"),
        found?.default && pill("", "default"),
        !found && pill("warn", "new"),
        !writable && pill("", session.status.editable ? "your key may try, not save" : "built in"),
        writable && h("span", { class: "end" }, save),
      ),
      verdict,
      text.element,
    ),
    dryRun(id, found?.keys ?? [], () => (session.status.editable ? text.value : undefined)),
  ];
}
