// ABIs, read from Foundry's artifacts so that they cannot drift from the contracts.
import { readFileSync } from "node:fs";
import type { Abi, Hex } from "viem";

interface Artifact {
  abi: Abi;
  bytecode: { object: Hex };
}

function read(contract: string): Artifact {
  const url = new URL(`../../../contracts/out/${contract}.sol/${contract}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as Artifact;
}

/** Of a contract that a package brings compiled. */
export function artifactOf(pkg: string, contract: string): { abi: Abi; bytecode: Hex } {
  const url = new URL(`../../../contracts/node_modules/${pkg}/artifacts/${contract}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as { abi: Abi; bytecode: Hex };
}

export const artifact = (contract: string): Abi => read(contract).abi;
export const bytecode = (contract: string): Hex => read(contract).bytecode.object;

export const abi = {
  account: artifact("SmartAccount"),
  factory: artifact("SmartAccountFactory"),
  registry: artifact("NodeRegistry"),
  jobs: artifact("JobMarketplace"),
  sessions: artifact("SessionMarketplace"),
  escrow: artifact("PaymentEscrow"),
  token: artifact("DemoUSDC"),
  tokenPaymaster: artifact("TokenPaymaster"),
};
