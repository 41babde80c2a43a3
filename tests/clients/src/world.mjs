// Where the chain, our service and the deployed accounts are, and what an operation does there that can be seen afterwards.
import { readFileSync } from "node:fs";
import {
  createPublicClient, createTestClient, createWalletClient, defineChain, encodeFunctionData, http, numberToHex, parseAbi, parseEther,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { between } from "./between.mjs";

export const session = JSON.parse(readFileSync(process.env.FABSTIR_DEV, "utf8"));
export const { deployment } = session;
/** Where clients ask us. */
export const rpcUrl = process.env.FABSTIR_ESTIMATES === undefined ? session.rpcUrl : await between(session.rpcUrl);

/** Where each policy of the test's is asked: one sponsors approvals, the other one nothing. */
export const paymasterUrl = { open: `${rpcUrl}/p/open`, closed: `${rpcUrl}/p/closed` };

/** A chain as these libraries describe it. Its URL is ours: reads are passed on. */
export const chain = defineChain({
  id: deployment.chainId,
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl] } },
});
export const client = createPublicClient({ chain, transport: http(), pollingInterval: 50 });

/** The node itself, for what no client of a bundler does. */
export const node = createTestClient({ mode: "anvil", chain, transport: http(session.nodeUrl) });
/** Of this process alone: nonces of one that all share would collide. */
export const faucet = createWalletClient({ chain, transport: http(session.nodeUrl), account: privateKeyToAccount(generatePrivateKey()) });
await node.setBalance({ address: faucet.account.address, value: parseEther("100") });

export const newKey = () => generatePrivateKey();
export const newOwner = () => privateKeyToAccount(newKey());
export const fund = (address) => node.setBalance({ address, value: parseEther("1") });

const erc20 = parseAbi(["function approve(address,uint256)", "function allowance(address,address) view returns (uint256)"]);

/** The call that every account makes: seen afterwards, and harmless. */
export const approve = (spender, amount) => ({
  to: deployment.token,
  value: 0n,
  data: encodeFunctionData({ abi: erc20, functionName: "approve", args: [spender, amount] }),
});
export const allowance = (account, spender) =>
  client.readContract({ address: deployment.token, abi: erc20, functionName: "allowance", args: [account, spender] });

export const hex = (value) => (typeof value === "bigint" || typeof value === "number" ? numberToHex(value) : value);

/** What `src/accounts/deploy.mjs` deployed. */
export const deployed = () => JSON.parse(readFileSync(process.env.FABSTIR_ACCOUNTS, "utf8"));

/** Has somebody else make an account: a plain transaction to its factory, or to anybody with an EOA's authorization. */
export async function transact({ to, data, authorizationList }) {
  const hash = await faucet.sendTransaction({ to, data, authorizationList });
  const { status } = await client.waitForTransactionReceipt({ hash });
  if (status !== "success") throw new Error(`${hash} reverted`);
}

/** Any method of ours, as it stands. */
export async function rpc(method, params, url = rpcUrl) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  if (error) throw Object.assign(new Error(`${error.message}${error.data?.reason ? `: ${error.data.reason}` : ""}`), error);
  return result;
}
