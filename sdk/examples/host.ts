// A host: serves a model over HTTP chunk by chunk, each paid by a voucher before the next, and settles on chain.
//
//   GET  /quote                            the host's offer, signed
//   POST /chat    {sessionId, prompt}      the first chunk
//   POST /chunk   {sessionId, voucher}     the next one, if all before it is paid for; 402 if not
//   POST /consent {sessionId, voucher?}    the host's consent to end, at what is vouched for
//   POST /settle  {sessionId}              the host ends it itself
import { type IncomingMessage, type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Hex, type LocalAccount, type PublicClient } from "viem";
import { type Deployment, HostChat, type SignedVoucher, consentTo, signQuote, sponsored, toFabstirAccount } from "../src/index.js";

/** A model of no intelligence: it says the prompt back, a word at a time. */
function* stubModel(prompt: string): Generator<{ text: string; tokens: bigint }> {
  yield { text: "You asked:", tokens: 40n };
  for (const word of prompt.split(/\s+/)) yield { text: ` ${word}`, tokens: BigInt(30 + word.length) };
}

/** What is served for a voucher: a chunk, or the end. */
export interface Answer {
  done: boolean;
  chunk?: { text: string; tokens: bigint };
}

export interface HostOptions {
  client: PublicClient;
  url: string;
  deployment: Deployment;
  wallet: LocalAccount;
  model: string;
  pricePerMillion: bigint;
}

const encode = (value: unknown) => JSON.stringify(value, (_, field: unknown) => (typeof field === "bigint" ? `${field}n` : field));
const BIG = /^\d+n$/;
/** Numbers of more than 53 bits are text with an n behind. */
export const decode = <T>(text: string): T => JSON.parse(text, (_, field: unknown) => (typeof field === "string" && BIG.test(field) ? BigInt(field.slice(0, -1)) : field)) as T;

/** Serves on a free port of this machine. */
export async function startHost(options: HostOptions): Promise<{ url: string; server: Server; settled: Hex[] }> {
  const { client, url, deployment, wallet, model, pricePerMillion } = options;
  const account = await toFabstirAccount(client, deployment, wallet);
  const host = sponsored(client, url, account);
  const offer = await signQuote(deployment, account, { modelId: deployment.models[model]!, pricePerMillion, maxDeposit: 1_000_000_000n });
  const chats = new Map<Hex, { chat: HostChat; model: ReturnType<typeof stubModel> }>();
  const settled: Hex[] = [];

  const next = (sessionId: Hex): Answer => {
    const { chat, model } = chats.get(sessionId)!;
    if (!chat.maySend(0n)) throw new Unpaid("what was served is not paid for");
    const { value: chunk } = model.next();
    if (!chunk) return { done: true };
    if (!chat.maySend(chunk.tokens)) throw new Unpaid("the deposit is used up");
    chat.sent(chunk.tokens);
    return { done: false, chunk };
  };

  const routes: Record<string, (body: { sessionId: Hex; prompt: string; voucher?: SignedVoucher }) => Promise<unknown>> = {
    "GET /quote": async () => offer,
    async "POST /chat"({ sessionId, prompt }) {
      if (chats.has(sessionId)) throw new Error("the session has begun already");
      const chat = await HostChat.of(client, deployment, account.address, sessionId);
      chats.set(sessionId, { chat, model: stubModel(prompt) });
      return next(sessionId);
    },
    async "POST /chunk"({ sessionId, voucher }) {
      const served = chats.get(sessionId);
      if (!served) throw new Error("there is no such session");
      if (!voucher) throw new Unpaid("no voucher");
      await served.chat.accept(voucher).catch((error: Error) => {
        throw new Unpaid(error.message);
      });
      return next(sessionId);
    },
    async "POST /consent"({ sessionId, voucher }) {
      const served = chats.get(sessionId);
      if (!served) throw new Error("there is no such session");
      if (voucher) await served.chat.accept(voucher);
      if (!served.chat.maySend(0n)) throw new Unpaid("what was served is not paid for");
      return consentTo(deployment, account, sessionId, served.chat.best?.voucher.cumulativeAmount ?? 0n);
    },
    async "POST /settle"({ sessionId }) {
      const served = chats.get(sessionId);
      if (!served) throw new Error("there is no such session");
      const { receipt } = await served.chat.settle(host);
      settled.push(receipt.transactionHash);
      return { transactionHash: receipt.transactionHash };
    },
  };

  const server = createServer((request, response) => {
    const answer = (status: number, body: unknown) => response.writeHead(status, { "content-type": "application/json" }).end(encode(body));
    const route = routes[`${request.method} ${request.url}`];
    if (!route) return answer(404, { error: "there is no such path" });
    read(request)
      .then((text) => route(text ? decode(text) : ({} as never)))
      .then((body) => answer(200, body))
      .catch((error: Error) => answer(error instanceof Unpaid ? 402 : 400, { error: error.message }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, settled };
}

class Unpaid extends Error {}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

/** One request to such a host. */
export async function askHost<T>(url: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`${url}${path}`, body === undefined ? {} : { method: "POST", body: encode(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${decode<{ error: string }>(text).error}`);
  return decode<T>(text);
}
