// Where a development chain is, as `fabstir dev` or a test wrote it down.
import { readFileSync } from "node:fs";
import type { Address, Hex } from "viem";

export interface Deployment {
  chainId: number;
  entryPoints: Record<string, Address>;
  paymasters: Record<string, Address>;
  tokenPaymasters: Record<string, Address>;
  smartAccount: Address;
  smartAccountFactory: Address;
  nodeRegistry: Address;
  jobMarketplace: Address;
  sessionMarketplace: Address;
  reputationSystem: Address;
  paymentEscrow: Address;
  token: Address;
  models: Record<string, Hex>;
}

export interface Session {
  rpcUrl: string;
  nodeUrl: string;
  deployment: Deployment;
  host: { account: Address; key: Hex; model: string };
  faucetKey: Hex;
  /** Signs sponsorships and token prices. */
  paymasterKey: Hex;
}

export function readSession(): Session {
  const file = process.env["FABSTIR_DEV"];
  if (!file) throw new Error("FABSTIR_DEV must name the file that `fabstir dev` wrote (by default .dev/dev.json)");
  return JSON.parse(readFileSync(file, "utf8")) as Session;
}
