// Accounts without ETH, each in a client that apps use, with our service at its paymaster URL; retries as by default.
import assert from "node:assert/strict";
import { type Address, type Hex, createWalletClient, encodeFunctionData, getContractAddress, http, numberToHex, pad, parseEther } from "viem";
import {
  type BundlerClient, type SmartAccount, createBundlerClient, createPaymasterClient, toCoinbaseSmartAccount,
} from "viem/account-abstraction";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { createSmartAccountClient } from "permissionless";
import { toSimpleSmartAccount } from "permissionless/accounts";
import { createPimlicoClient } from "permissionless/clients/pimlico";
import { toFabstirAccount } from "../account/account.js";
import { artifactOf } from "../abi.js";
import { build, buildFor, client, deploy, deployBytecode, deployment, session } from "./world.js";

export const VERSIONS = ["0.6", "0.7", "0.8", "0.9"] as const;
export type Version = (typeof VERSIONS)[number];

export interface Sender {
  name: string;
  version: Version;
  account: SmartAccount;
  bundler: Pick<BundlerClient<never, never, SmartAccount>, "sendUserOperation" | "waitForUserOperationReceipt">;
}

const transport = http(session.rpcUrl);
const chain = client.chain!;
const owner = () => privateKeyToAccount(generatePrivateKey());

/** Everything that our tests can ask of this version, `context` for its paymaster. */
export async function senders(version: Version, context?: unknown): Promise<Sender[]> {
  const [ofViem, ofPermissionless] = [await viemAccount(version), await permissionlessAccount(version)];
  return [viem(version, ofViem, context), permissionless(version, ofPermissionless, context)];
}

/** viem's own clients. */
export function viem(version: Version, account: SmartAccount, paymasterContext?: unknown): Sender {
  const paymaster = createPaymasterClient({ transport });
  const bundler = createBundlerClient({ account, client, transport, paymaster, paymasterContext, pollingInterval: 50 });
  return { name: "viem", version, account, bundler: bundler as unknown as Sender["bundler"] };
}

/** permissionless over viem, as its documentation has it. */
export function permissionless(version: Version, account: SmartAccount, paymasterContext?: unknown): Sender {
  const pimlico = createPimlicoClient({ chain, transport, entryPoint: { address: account.entryPoint.address, version } as never });
  const bundler = createSmartAccountClient({
    account,
    chain,
    client,
    bundlerTransport: transport,
    paymaster: pimlico,
    paymasterContext,
    pollingInterval: 50,
    userOperation: { estimateFeesPerGas: async () => (await pimlico.getUserOperationGasPrice()).fast },
  });
  return { name: "permissionless", version, account, bundler: bundler as unknown as Sender["bundler"] };
}

/** v0.6: viem's Coinbase Smart Wallet, on a contract that speaks its formats; else ours. */
export async function viemAccount(version: Version): Promise<SmartAccount> {
  if (version !== "0.6") return ours(version);
  const key = owner();
  const address = await coinbaseWallet(key.address);
  return toCoinbaseSmartAccount({ client, address, owners: [key], version: "1.1" }) as Promise<SmartAccount>;
}

/** SimpleAccounts as published, but for v0.9, which permissionless has no account for. */
export async function permissionlessAccount(version: Version): Promise<SmartAccount> {
  if (version === "0.9") return ours(version);
  const key = owner();
  const entryPoint = { address: deployment.entryPoints[`v${version}`]!, version };
  const { abi, bytecode } = artifactOf(`account-abstraction-v${version.replace(".", "")}`, "SimpleAccountFactory");
  const factory = await deployBytecode(abi, bytecode, [entryPoint.address]);
  // Other factories than ours are not sponsored: the account is there already. From v0.8 on only the EntryPoint's own
  // SenderCreator may make one.
  const creator = getContractAddress({ from: entryPoint.address, nonce: 1n });
  await as(creator, factory, encodeFunctionData({ abi, functionName: "createAccount", args: [key.address, 0n] }));
  const address = (await client.readContract({ address: factory, abi, functionName: "getAddress", args: [key.address, 0n] })) as Address;
  return toSimpleSmartAccount({ client, owner: key, entryPoint, factoryAddress: factory, address }) as unknown as SmartAccount;
}

/** A wallet contract of Coinbase's formats with this owner. */
export const coinbaseWallet = (of: Address) =>
  deploy("CoinbaseFormatWallet", [deployment.entryPoints["v0.6"]!, [pad(of, { size: 32 })]]);

/** An account of ours; of v0.8 its own first operation creates it, as the policy allows. */
async function ours(version: Exclude<Version, "0.6">) {
  if (version === "0.8") return toFabstirAccount(client, build, owner());
  const account = await toFabstirAccount(client, await buildFor(version), owner());
  const { factory, factoryData } = await account.getFactoryArgs();
  await as(deployment.nodeRegistry, factory!, factoryData!);
  return account;
}

/** A transaction from anybody at all, who has no ETH after it: the chain is anvil's. */
export async function as(from: Address, to: Address, data: Hex) {
  const rpc = (method: string, params: unknown[]) => client.request({ method, params } as never);
  await rpc("anvil_impersonateAccount", [from]);
  await rpc("anvil_setBalance", [from, numberToHex(parseEther("1"))]);
  const wallet = createWalletClient({ account: from, chain, transport: http(session.nodeUrl) });
  const receipt = await client.waitForTransactionReceipt({ hash: await wallet.sendTransaction({ to, data }) });
  await rpc("anvil_stopImpersonatingAccount", [from]);
  await rpc("anvil_setBalance", [from, "0x0"]);
  assert.equal(receipt.status, "success");
}
