// What stands between a client and our service while estimates are measured: it lowers what an estimate says, and asks
// whether an operation would be taken instead of sending it.
import { createServer } from "node:http";
import { once } from "node:events";

/** Parts in ten thousand that are left of an estimated `verificationGasLimit`; undefined while nothing is changed. */
let left;
/** The last estimate's `verificationGasLimit`, and what became of an operation that was asked about. */
let estimated, asked;

export async function between(target) {
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = await answer(target + request.url, Buffer.concat(chunks).toString());
    response.writeHead(200, { "content-type": "application/json" }).end(text);
  });
  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

async function answer(url, body) {
  const requests = JSON.parse(body);
  if (!Array.isArray(requests)) return JSON.stringify(await one(url, requests));
  return JSON.stringify(await Promise.all(requests.map((request) => one(url, request))));
}

async function one(url, request) {
  const forward = async (method) => {
    const body = JSON.stringify({ ...request, method });
    return (await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
  };
  if (left !== undefined && request.method === "eth_sendUserOperation") {
    const { result } = await forward("fabstir_explainUserOperation");
    asked = { accepted: result?.accepted === true, limit: BigInt(request.params[0].verificationGasLimit) };
    return { jsonrpc: "2.0", id: request.id, error: { code: -32500, message: "only asked" } };
  }
  const said = await forward(request.method);
  if (request.method === "eth_estimateUserOperationGas" && said.result) {
    estimated = BigInt(said.result.verificationGasLimit);
    if (left !== undefined) said.result.verificationGasLimit = `0x${((estimated * left) / 10_000n).toString(16)}`;
  }
  return said;
}

/** The estimate that `send` asked for, if it asked for one. */
export async function estimateOf(send) {
  estimated = undefined;
  const sent = await send();
  return { sent, estimated };
}

/** Halvings of the range in which the least is looked for: to 0.6 % of the estimate. */
const STEPS = 6;

/**
 * By how much (a share) the estimated `verificationGasLimit` is above the least that is taken, as the client signs it; nothing
 * is sent. Undefined where the client does not put our estimate into its operation.
 */
export async function room(send) {
  const taken = async (parts) => {
    [left, asked, estimated] = [parts, undefined, undefined];
    try {
      await send();
    } catch (error) {
      if (asked === undefined) throw error;
    } finally {
      left = undefined;
    }
    return asked;
  };
  const whole = await taken(10_000n);
  if (estimated === undefined) return undefined;
  const of = estimated;
  if (!whole.accepted) throw new Error(`not taken at the estimate: ${whole.limit}, estimated ${of}`);
  let [low, high, least] = [6_000n, 10_000n, whole.limit];
  for (let step = 0; step < STEPS; step++) {
    const middle = (low + high) / 2n;
    const { accepted, limit } = await taken(middle);
    if (limit === whole.limit) return undefined;
    if (accepted) [high, least] = [middle, limit];
    else low = middle;
  }
  return Number(((of - least) * 10_000n) / least) / 10_000;
}
