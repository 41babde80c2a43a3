// ABIs, read from Foundry's artifacts so that they cannot drift from the contracts.
import { readFileSync } from "node:fs";
import type { Abi } from "viem";

export function artifact(contract: string): Abi {
  const url = new URL(`../../../contracts/out/${contract}.sol/${contract}.json`, import.meta.url);
  return (JSON.parse(readFileSync(url, "utf8")) as { abi: Abi }).abi;
}

export const abi = {
  account: artifact("SmartAccount"),
  factory: artifact("SmartAccountFactory"),
  registry: artifact("NodeRegistry"),
  jobs: artifact("JobMarketplace"),
  sessions: artifact("SessionMarketplace"),
  escrow: artifact("PaymentEscrow"),
  token: artifact("TestUSDC"),
};
