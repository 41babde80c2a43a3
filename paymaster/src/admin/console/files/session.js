// What every page looks at: how the service stands, asked again and again, and each decision as it is taken.

import { events, get, hasKey, query, setKey } from "./api.js";

const EVERY = 5000;
/** Decisions that a tab remembers. */
const REMEMBERED = 500;
const ROLES = ["viewer", "operator", "admin"];

const changes = new EventTarget();

export const session = { status: null, decisions: [], live: false };

let stop = () => {};

/** Whether the key that is used may what this role may. */
export const may = (role) => ROLES.indexOf(session.status?.role) >= ROLES.indexOf(role);

/** Calls `listener` after each change of this kind (`status`, `decision`) until `signal` is aborted. */
export const on = (kind, listener, signal) => changes.addEventListener(kind, listener, { signal });

const tell = (kind) => changes.dispatchEvent(new Event(kind));

export async function refresh() {
  session.status = await get("/v1/status");
  tell("status");
}

export async function logIn(key) {
  setKey(key);
  try {
    await refresh();
  } catch (error) {
    setKey(null);
    throw error;
  }
  begin();
}

/** Goes on with the key of this tab, if there is one that is good. */
export async function resume() {
  if (!hasKey()) return false;
  try {
    await refresh();
  } catch (error) {
    if (error.status === 401) setKey(null);
    return false;
  }
  begin();
  return true;
}

export function logOut() {
  stop();
  setKey(null);
  Object.assign(session, { status: null, decisions: [], live: false });
}

function begin() {
  const ended = new AbortController();
  const timer = setInterval(() => refresh().catch(() => {}), EVERY);
  stop = () => (clearInterval(timer), ended.abort());
  follow(ended.signal);
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      const path = query("/v1/events", { after: session.decisions[0]?.number });
      for await (const decided of events(path, signal, () => setLive(true))) {
        // A number that comes again is of a node that was started anew.
        if (decided.number <= (session.decisions[0]?.number ?? 0)) session.decisions = [];
        session.decisions.unshift(decided);
        session.decisions.length = Math.min(session.decisions.length, REMEMBERED);
        tell("decision");
      }
    } catch {
      // Tried again below.
    }
    if (signal.aborted) return;
    setLive(false);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function setLive(live) {
  session.live = live;
  tell("decision");
}
