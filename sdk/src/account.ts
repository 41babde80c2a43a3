// Our smart account as a viem smart account, owned by a wallet; and a client in which the paymaster pays.
import { type Address, type Hex, type LocalAccount, type PublicClient, type TypedDataDefinition, encodeFunctionData, http, pad } from "viem";
import {
  type SmartAccount, type UserOperation, createBundlerClient, createPaymasterClient, entryPoint08Abi, getUserOperationTypedData, toSmartAccount,
} from "viem/account-abstraction";
import { wrapTypedDataSignature } from "viem/experimental/erc7739";
import { accountAbi, factoryAbi } from "./abi.js";
import type { Deployment } from "./marketplace.js";

export type FabstirAccount = Awaited<ReturnType<typeof toFabstirAccount>>;
export type SponsoredClient = ReturnType<typeof sponsored>;

/** Recovers to nobody, at the cost of a real signature. */
const STUB: Hex =
  "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

/** The account of this wallet; its first operation creates it. */
export async function toFabstirAccount(client: PublicClient, deployment: Deployment, wallet: LocalAccount) {
  const { smartAccountFactory: factory } = deployment;
  const args = [[pad(wallet.address, { size: 32 })], 0n] as const;
  const address = await client.readContract({ address: factory, abi: factoryAbi, functionName: "getAddress", args });
  const entryPointAddress = deployment.entryPoints["v0.8"]!;
  const chainId = deployment.chainId;
  return toSmartAccount({
    client,
    entryPoint: { abi: entryPoint08Abi, address: entryPointAddress, version: "0.8" },
    getAddress: async () => address,
    async encodeCalls(calls) {
      const all = calls.map(({ to, value, data }) => ({ target: to, value: value ?? 0n, data: data ?? "0x" }));
      const [only] = all;
      return only && all.length === 1
        ? encodeFunctionData({ abi: accountAbi, functionName: "execute", args: [only.target, only.value, only.data] })
        : encodeFunctionData({ abi: accountAbi, functionName: "executeBatch", args: [all] });
    },
    getStubSignature: async () => STUB,
    async signUserOperation(operation) {
      const userOperation = { ...operation, sender: address } as UserOperation;
      return wallet.signTypedData!(getUserOperationTypedData({ chainId, entryPointAddress, userOperation }) as TypedDataDefinition);
    },
    signMessage: async () => {
      throw new Error("sign typed data instead");
    },
    signTypedData: (data) => signNested(chainId, address, data as TypedDataDefinition, wallet),
    getFactoryArgs: async () => ({ factory, factoryData: encodeFunctionData({ abi: factoryAbi, functionName: "createAccount", args }) }),
  });
}

/** ERC-7739: the owner sees the data, and for which account it signs. */
async function signNested(chainId: number, address: Address, data: TypedDataDefinition, wallet: LocalAccount): Promise<Hex> {
  const { domain, types, primaryType, message } = data as TypedDataDefinition & { types: Record<string, { name: string; type: string }[]> };
  const field = (name: string, type: string) => ({ name, type });
  const nested = {
    ...types,
    TypedDataSign: [
      field("contents", primaryType), field("name", "string"), field("version", "string"), field("chainId", "uint256"),
      field("verifyingContract", "address"), field("salt", "bytes32"),
    ],
  };
  const salt = `0x${"00".repeat(32)}`;
  const outer = { contents: message, name: "Fabstir SmartAccount", version: "1", chainId: BigInt(chainId), verifyingContract: address, salt };
  const asked: unknown = { domain, types: nested, primaryType: "TypedDataSign", message: outer };
  const signature = await wallet.signTypedData!(asked as TypedDataDefinition);
  return wrapTypedDataSignature({ domain, types, primaryType, message, signature } as never);
}

/** A bundler client whose operations the service's paymaster pays for. */
export function sponsored(client: PublicClient, url: string, account: SmartAccount) {
  const bundler = createBundlerClient({
    account,
    client,
    transport: http(url),
    paymaster: createPaymasterClient({ transport: http(url) }),
    pollingInterval: 100,
  });
  return {
    account,
    /** Makes these calls in one operation, and waits until it is mined. */
    async act(calls: { to: Address; data: Hex; value?: bigint }[]) {
      const hash = await bundler.sendUserOperation({ calls });
      const receipt = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
      if (!receipt.success) throw new Error(`operation ${hash} reverted: ${receipt.reason}`);
      return receipt;
    },
  };
}
