// The stack that `fabstir dev` has brought up, and its JSON-RPC.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export interface Dev {
  rpcUrl: string;
  nodeUrl: string;
  adminUrl: string;
  adminKey: string;
  deployment: { chainId: number; entryPoints: Record<string, string>; paymentEscrow: string; token: string; jobMarketplace: string; sessionMarketplace: string };
  host: { account: string };
}

export function readDev(): Dev {
  const file = process.env.FABSTIR_DEV;
  assert.ok(file, "FABSTIR_DEV names no file: run this by fabstir dev --run");
  return JSON.parse(readFileSync(file, "utf8")) as Dev;
}

/** What was answered: a result, or an error with its data. */
export interface Answer {
  result?: unknown;
  error?: { code: number; message: string; data?: { reason?: string; rule?: string; policyId?: string } };
}

export async function ask({ rpcUrl }: Dev, method: string, params: unknown[]): Promise<Answer> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body });
  return (await response.json()) as Answer;
}

const word = (value: bigint | string) => BigInt(value).toString(16).padStart(64, "0");

/** `execute(address,uint256,bytes)` of our account. */
function execute(to: string, data: string): string {
  const bytes = data.slice(2);
  const padded = bytes.padEnd(Math.ceil(bytes.length / 64) * 64, "0");
  return `0xb61d27f6${word(to)}${word(0n)}${word(0x60n)}${word(BigInt(bytes.length / 2))}${padded}`;
}

/** An operation of the demo host's account that makes this call, with the gas that it needs and more. */
export function operation({ host }: Dev, to: string, data: string): Record<string, string> {
  return {
    sender: host.account,
    // A key of its own: nothing of its account's is in the way.
    nonce: `0x${word(7n).slice(-48)}0000000000000000`,
    callData: execute(to, data),
    callGasLimit: "0x493e0",
    verificationGasLimit: "0x493e0",
    preVerificationGas: "0x186a0",
    maxFeePerGas: "0x77359400",
    maxPriorityFeePerGas: "0x3b9aca00",
    signature: `0x${"ff".repeat(65)}`,
  };
}

/** What the marketplace's policy sponsors: `approve` of the token for the escrow. */
export const approval = (dev: Dev, amount: bigint) =>
  operation(dev, dev.deployment.token, `0x095ea7b3${word(dev.deployment.paymentEscrow)}${word(amount)}`);

/** `pm_getPaymasterData` on EntryPoint v0.8. */
export const sponsor = (dev: Dev, operation: unknown) =>
  ask(dev, "pm_getPaymasterData", [operation, dev.deployment.entryPoints["v0.8"], `0x${dev.deployment.chainId.toString(16)}`, null]);
