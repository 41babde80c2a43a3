// JSON-RPC of the node that serves this page.

let requests = 0;

/** The result, or an error with what the node said. */
export async function ask(method, ...params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: ++requests, method, params });
  let response;
  try {
    response = await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body });
  } catch {
    throw new Error("The node does not answer.");
  }
  if (!response.ok) throw new Error(`The node answers with status ${response.status}.`);
  const { result, error } = await response.json();
  if (error) throw new Error(error.message);
  return result;
}
