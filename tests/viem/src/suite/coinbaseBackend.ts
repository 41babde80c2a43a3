// Stands in for Coinbase's closed wallet backend, which alone prepares and sends a Base Account's calls: over HTTP, it
// asks the app's paymaster URL as ERC-7677 says, and sends with a bundler of the backend's choice.
import { type IncomingMessage, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BaseError, type Address, type Client, type Hex, type LocalAccount, RpcRequestError, http, numberToHex, stringToHex } from "viem";
import {
  type UserOperation, createBundlerClient, createPaymasterClient, formatUserOperationRequest, getUserOperationHash,
} from "viem/account-abstraction";
import { createSmartAccount, wrapSignature } from "../../node_modules/@base-org/account/dist/sign/base-account/utils/createSmartAccount.js";

interface Prepare {
  from: Address;
  calls: { to: Address; data?: Hex }[];
  capabilities?: { paymasterService?: { url: string } };
}

interface Prepared {
  data: Record<string, unknown>;
  signature: { data: { signature: Hex } };
}

/** Serves wallets with this owner at index 0; at the URL it returns, until `close`. */
export async function coinbaseBackend(client: Client, bundlerUrl: string, owner: LocalAccount) {
  const send = createBundlerClient({ client, transport: http(bundlerUrl) });
  const chainId = client.chain!.id;

  async function prepare({ from, calls, capabilities }: Prepare) {
    const account = await createSmartAccount({ client: client as never, owner, ownerIndex: 0, address: from, factoryData: undefined });
    const url = capabilities?.paymasterService?.url;
    const sponsored = url ? { paymaster: createPaymasterClient({ transport: http(url) }), paymasterContext: {} } : {};
    const bundler = createBundlerClient({ account, client, transport: http(bundlerUrl), ...sponsored });
    const userOperation = (await bundler.prepareUserOperation({ calls })) as UserOperation<"0.6">;
    const { address: entryPointAddress } = account.entryPoint;
    const hash = getUserOperationHash({ chainId, entryPointAddress, entryPointVersion: "0.6", userOperation });
    const userOp = { ...formatUserOperationRequest(userOperation), entryPoint: entryPointAddress };
    return { type: "user-operation-v060", chainId: numberToHex(chainId), userOp, signatureRequest: { hash: stringToHex(hash) }, capabilities: {} };
  }

  async function sendPrepared({ data: { entryPoint, ...op }, signature }: Prepared) {
    const signed = { ...op, signature: wrapSignature({ ownerIndex: 0, signature: signature.data.signature }) };
    return [await send.request({ method: "eth_sendUserOperation", params: [signed, entryPoint] } as never)];
  }

  async function answer(request: IncomingMessage) {
    let body = "";
    for await (const part of request) body += String(part);
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: unknown[] };
    try {
      const result = method === "wallet_prepareCalls" ? await prepare(params[0] as Prepare) : await sendPrepared(params[0] as Prepared);
      return { jsonrpc: "2.0", id, result };
    } catch (error) {
      const rpc = error instanceof BaseError ? error.walk((cause) => cause instanceof RpcRequestError) : null;
      if (!(rpc instanceof RpcRequestError)) throw error;
      return { jsonrpc: "2.0", id, error: { code: rpc.code, message: rpc.details, data: rpc.data } };
    }
  }

  const server = createServer((request, response) => {
    answer(request).then(
      (body) => response.setHeader("content-type", "application/json").end(JSON.stringify(body)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, close: () => server.close() };
}
