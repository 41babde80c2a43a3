// Stands in for Coinbase Smart Wallet, which no registry has compiled: a contract of our tests that reads its formats.
import { readFileSync } from "node:fs";
import { encodeDeployData, pad } from "viem";
import { client, deployment, faucet } from "../world.mjs";

const file = new URL("../../../../contracts/out/CoinbaseFormatWallet.sol/CoinbaseFormatWallet.json", import.meta.url);

/** A wallet with this owner. */
export async function coinbaseWallet(owner) {
  const { abi, bytecode } = JSON.parse(readFileSync(file, "utf8"));
  const data = encodeDeployData({ abi, bytecode: bytecode.object, args: [deployment.entryPoints["v0.6"], [pad(owner, { size: 32 })]] });
  const { contractAddress } = await client.waitForTransactionReceipt({ hash: await faucet.sendTransaction({ data }) });
  return contractAddress;
}
