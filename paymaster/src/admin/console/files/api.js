// The admin API of this same origin. The key is kept for this tab alone, and goes nowhere else.

const PLACE = "fabstir.admin.key";

let key = sessionStorage.getItem(PLACE);

export const hasKey = () => key !== null;

export function setKey(given) {
  key = given;
  if (given === null) sessionStorage.removeItem(PLACE);
  else sessionStorage.setItem(PLACE, given);
}

/** What the API answers when it does not do it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.error ?? `The node answered ${status}.`);
    this.status = status;
    /** Where a policy is wrong: `{line, column, field, message}`. */
    this.policy = body?.policy;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, authorization: `Bearer ${key}` } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { error: "The node does not answer." });
  }
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => undefined));
  return response;
}

export const get = async (path) => (await request(path)).json();

export const send = async (method, path, text = "") => (await request(path, { method, body: text })).json();

export const sendJson = async (path, body) => {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return (await request(path, options)).json();
};

export const query = (path, values) => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
};

/** Server-sent events, by `fetch`: an EventSource cannot show a key. Ends with the connection. */
export async function* events(path, signal, opened) {
  const response = await request(path, { signal });
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) yield JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n"));
    }
  }
}
