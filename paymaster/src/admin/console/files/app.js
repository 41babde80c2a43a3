// Pages by the address after `#`, in one frame.

import { card, h, notice } from "./dom.js";
import { logOut, may, on, resume, session } from "./session.js";
import * as audit from "./views/audit.js";
import * as budgets from "./views/budgets.js";
import * as decisions from "./views/decisions.js";
import * as funds from "./views/funds.js";
import { logIn } from "./views/login.js";
import * as overview from "./views/overview.js";
import * as policies from "./views/policies.js";
import * as policy from "./views/policy.js";
import * as usage from "./views/usage.js";

const PAGES = { overview, policies, usage, budgets, decisions, funds, audit };
/** Not in the menu. */
const INNER = { policy };

const app = document.getElementById("app");
let left = new AbortController();
let menu;
let main;

function frame() {
  const state = h("span", { class: "pill" });
  const showState = () => {
    const paused = session.status?.paused;
    state.className = `pill ${paused ? "warn" : "good"}`;
    state.replaceChildren(h("span", { class: "dot" }), paused ? "Paused" : "Sponsoring");
  };
  showState();
  on("status", showState);
  menu = h("nav", { class: "nav", "aria-label": "Pages" });
  main = h("main", { id: "main" });
  app.replaceChildren(
    h(
      "div",
      { class: "frame" },
      h(
        "header",
        { class: "top" },
        h("span", { class: "brand" }, h("img", { src: "icon.svg", alt: "" }), "Paymaster"),
        h("span", { class: "who" }, state, h("button", { type: "button", onclick: leave }, "Log out")),
      ),
      menu,
      main,
    ),
  );
}

function leave() {
  logOut();
  left.abort();
  start();
}

async function show() {
  if (!session.status) return;
  left.abort();
  left = new AbortController();
  const { signal } = left;
  const [name, ...rest] = (location.hash.slice(2) || "overview").split("/").map(decodeURIComponent);
  const page = PAGES[name] ?? INNER[name] ?? overview;
  menu.replaceChildren(
    ...Object.entries(PAGES)
      .filter(([, { role }]) => !role || may(role))
      .map(([id, { title }]) => {
        const here = PAGES[id] === page || (page === policy && id === "policies");
        return h("a", { href: `#/${id}`, "aria-current": here && "page" }, title);
      }),
  );
  menu.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  const heading = h("h1", { tabindex: "-1" }, page.title);
  main.replaceChildren(heading);
  document.title = `${page.title} · Paymaster console`;
  heading.focus({ preventScroll: true });
  try {
    const parts = await page.show({ signal, heading }, ...rest);
    if (!signal.aborted) main.append(...parts);
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return leave();
    main.append(card(null, h("p", { class: "note bad", role: "alert" }, error.message)));
  }
}

async function start() {
  if (!(await resume())) await logIn(app);
  frame();
  await show();
}

addEventListener("hashchange", show);
addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name !== "AbortError") notice("bad", reason?.message ?? String(reason));
});
start();
