// JSON-RPC with a session's token, which goes to the service and nowhere else.

/** What the service refused, with its code; `data.reason` says which limit it was. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  constructor(readonly code: number, message: string, readonly data?: unknown) {
    super(message);
  }
}

export async function request<T>(url: string, token: string | undefined, method: string, params: unknown[]): Promise<T> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (token) headers["authorization"] = `Bearer ${token}`;
  const quantities = (_: string, value: unknown) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value);
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }, quantities);
  const response = await fetch(url, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`${method}: HTTP ${response.status}`);
  const answer = (await response.json()) as { result?: T; error?: { code: number; message: string; data?: unknown } };
  if (answer.error) throw new ServiceError(answer.error.code, answer.error.message, answer.error.data);
  return answer.result as T;
}
