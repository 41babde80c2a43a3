// A chain with a bundler, a faucet, and accounts that act through them.
import assert from "node:assert/strict";
import { type Abi, type Address, type Hex, createWalletClient, encodeDeployData, http, isAddressEqual, parseEther, parseUnits, zeroAddress } from "viem";
import {
  type SmartAccount, type UserOperation, createBundlerClient, createPaymasterClient, entryPoint08Abi, formatUserOperationRequest,
} from "viem/account-abstraction";
import { privateKeyToAccount } from "viem/accounts";
import { type Build, build08, signOperation } from "../account/account.js";
import type { Owner } from "../account/owner.js";
import { abi, artifact, bytecode } from "../abi.js";
import { publicClient } from "../actor.js";
import type { Call } from "../jobs.js";
import { readSession } from "../session.js";
import { type Refusal, refusal } from "./check.js";

export const session = readSession();
export const { deployment } = session;
export const client = publicClient(session);
export const build = build08(deployment);
export const usdc = (amount: string) => parseUnits(amount, 6);

export const faucet = createWalletClient({ chain: client.chain!, transport: http(session.nodeUrl), account: privateKeyToAccount(session.faucetKey) });

/** A transaction of the faucet's, waited for. */
async function mined(hash: Hex) {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  return receipt;
}

export async function fromFaucet(address: Address, contract: keyof typeof abi, functionName: string, args: unknown[], value = 0n) {
  return mined(await faucet.writeContract({ address, abi: abi[contract], functionName, args, value } as never));
}

export const mint = (to: Address, amount: bigint) => fromFaucet(deployment.token, "token", "mint", [to, amount]);

export const give = async (to: Address, ether: string) => mined(await faucet.sendTransaction({ to, value: parseEther(ether) }));

export const deploy = (contract: string, args: unknown[]) => deployBytecode(artifact(contract), bytecode(contract), args);

export async function deployBytecode(abi: Abi, bytecode: Hex, args: unknown[]): Promise<Address> {
  const data = encodeDeployData({ abi, bytecode, args });
  return (await mined(await faucet.sendTransaction({ data }))).contractAddress!;
}

/** Our account and its factory for another EntryPoint than the deployment's own. */
export async function buildFor(version: "0.7" | "0.9"): Promise<Build> {
  const entryPoint = deployment.entryPoints[`v${version}`]!;
  const implementation = await deploy("SmartAccount", [entryPoint]);
  return { entryPoint, version, implementation, factory: await deploy("SmartAccountFactory", [implementation]) };
}

export const read = <T>(address: Address, contract: keyof typeof abi, functionName: string, args: unknown[] = []) =>
  client.readContract({ address, abi: abi[contract], functionName, args }) as Promise<T>;

/** Whether somebody has a stake at an EntryPoint, and so may do more in validation. */
export async function isStaked(entryPoint: Address, who: Address): Promise<boolean> {
  const info = await client.readContract({ address: entryPoint, abi: entryPoint08Abi, functionName: "getDepositInfo", args: [who] });
  return info.staked;
}

export const tokens = (of: Address) => read<bigint>(deployment.token, "token", "balanceOf", [of]);

/** More than any operation here takes, so that nothing need be estimated: what reverts can be sent too. */
export const GAS = {
  callGasLimit: 1_000_000n,
  verificationGasLimit: 1_500_000n,
  preVerificationGas: 290_000n,
} as const;

type Paymaster = NonNullable<Parameters<typeof createBundlerClient>[0]["paymaster"]>;

/** Everything that the account sends is paid by the service's paymaster, if no other is given; or by itself: `null`. */
export function acting(account: SmartAccount, paymaster: Paymaster | null = createPaymasterClient({ transport: http(session.rpcUrl) })) {
  const bundler = createBundlerClient({
    account,
    client,
    transport: http(session.rpcUrl, { retryCount: 0 }),
    pollingInterval: 50,
    ...(paymaster ? { paymaster } : {}),
  });
  type Limits = keyof typeof GAS | "paymasterVerificationGasLimit" | "paymasterPostOpGasLimit";
  type Extra = Partial<Pick<UserOperation, "authorization"> & Record<Limits, bigint>>;
  const send = (calls: Call[], extra: Extra = {}) => bundler.sendUserOperation({ calls, ...extra } as never);
  const receiptOf = async (hash: Hex) => {
    const receipt = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
    const cost = receipt.receipt.gasUsed * receipt.receipt.effectiveGasPrice;
    assert.ok(receipt.actualGasCost >= cost, `the bundler lost ${cost - receipt.actualGasCost} wei`);
    return receipt;
  };
  return {
    address: account.address,
    account,
    bundler,
    send,
    receiptOf,
    /** One operation that must succeed. */
    async act(calls: Call[], extra: Extra = {}) {
      const receipt = await receiptOf(await send(calls, extra));
      assert.ok(receipt.success, `reverted: ${receipt.reason}`);
      assert.equal(isAddressEqual(receipt.paymaster ?? zeroAddress, zeroAddress), !paymaster, "who paid");
      return receipt;
    },
    /** One operation that the bundler must refuse; nothing is asked of it before. */
    refused: (calls: Call[], extra: Extra = {}): Promise<Refusal> => refusal(send(calls, { ...GAS, ...extra })),
    /** The same, signed by somebody else. */
    async refusedWithSignature(calls: Call[], by: Owner): Promise<Refusal> {
      const op = (await bundler.prepareUserOperation({ calls, ...GAS } as never)) as UserOperation;
      const signature = await signOperation(build, client.chain!.id, op, by);
      const request = formatUserOperationRequest({ ...op, signature });
      return refusal(bundler.request({ method: "eth_sendUserOperation", params: [request, account.entryPoint.address] } as never));
    },
  };
}
