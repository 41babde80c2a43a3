// Our SmartAccount as a viem smart account: created by our factory, or the delegate of an EOA (EIP-7702).
import {
  type Address, type Hex, type LocalAccount, type PrivateKeyAccount, type PublicClient, type TypedDataDefinition,
  encodeFunctionData,
} from "viem";
import {
  type SmartAccountImplementation, type UserOperation, entryPoint08Abi, getUserOperationHash, getUserOperationTypedData,
  toSmartAccount,
} from "viem/account-abstraction";
import { wrapTypedDataSignature } from "viem/experimental/erc7739";
import { abi } from "../abi.js";
import type { Deployment } from "../session.js";
import { type Owner, ecdsaOwner } from "./owner.js";

/** The builds of our account: one for each EntryPoint. */
export type Version = "0.7" | "0.8" | "0.9";

export interface Build {
  entryPoint: Address;
  version: Version;
  /** What an EOA delegates to, and what the factory's proxies run. */
  implementation: Address;
  factory: Address;
}

/** What an account's creation adds to its validation, at most. */
const CREATION_GAS = 300_000n;

/** Our deployment's own build is that of EntryPoint v0.8. */
export function build08({ entryPoints, smartAccount, smartAccountFactory }: Deployment): Build {
  return { entryPoint: entryPoints["v0.8"]!, version: "0.8", implementation: smartAccount, factory: smartAccountFactory };
}

/** An account that the factory creates for these owners, signed for by the first. */
export async function toFabstirAccount(client: PublicClient, build: Build, owner: Owner | LocalAccount) {
  const signer = "bytes" in owner ? owner : ecdsaOwner(owner);
  const { factory } = build;
  const args = [[signer.bytes], 0n];
  const address = (await client.readContract({ address: factory, abi: abi.factory, functionName: "getAddress", args })) as Address;
  return toSmartAccount({
    ...implementation(client, build, address, signer),
    async getFactoryArgs() {
      return { factory, factoryData: encodeFunctionData({ abi: abi.factory, functionName: "createAccount", args }) };
    },
  });
}

/** An EOA that runs our account's code; its first operation must bring `authorization: await authorize(…)`. */
export async function toDelegatedAccount(client: PublicClient, build: Build, eoa: PrivateKeyAccount) {
  return toSmartAccount({
    ...implementation(client, build, eoa.address, ecdsaOwner(eoa)),
    async getFactoryArgs() {
      return { factory: "0x7702" as Hex, factoryData: "0x" as Hex };
    },
  });
}

/** The EOA's signature of its delegation to our account. */
export async function authorize(client: PublicClient, build: Build, eoa: PrivateKeyAccount) {
  const [chainId, nonce] = await Promise.all([client.getChainId(), client.getTransactionCount({ address: eoa.address })]);
  return eoa.signAuthorization({ address: build.implementation, chainId, nonce });
}

/** What all accounts of ours have in common; sessions change who signs. */
export function implementation(client: PublicClient, build: Build, address: Address, owner: Owner) {
  const chainId = client.chain!.id;
  const sign = (operation: UserOperation) => signOperation(build, chainId, operation, owner);
  const signTypedData = (data: TypedDataDefinition) => signNested(chainId, address, data, owner);
  return {
    client,
    entryPoint: { abi: entryPoint08Abi, address: build.entryPoint, version: build.version },
    async getAddress() {
      return address;
    },
    async encodeCalls(calls) {
      const all = calls.map(({ to, value, data }) => ({ target: to, value: value ?? 0n, data: data ?? "0x" }));
      const [only] = all;
      return only && all.length === 1
        ? encodeFunctionData({ abi: abi.account, functionName: "execute", args: [only.target, only.value, only.data] })
        : encodeFunctionData({ abi: abi.account, functionName: "executeBatch", args: [all] });
    },
    async getStubSignature() {
      return owner.stub;
    },
    async signUserOperation(operation) {
      return sign({ ...operation, sender: address } as UserOperation);
    },
    async signMessage(): Promise<Hex> {
      throw new Error("sign typed data instead");
    },
    async signTypedData(data) {
      return signTypedData(data as TypedDataDefinition);
    },
    userOperation: {
      async estimateGas({ factory }) {
        if (!owner.verificationGas) return undefined;
        return { verificationGasLimit: owner.verificationGas + (factory ? CREATION_GAS : 0n) };
      },
    },
  } satisfies Omit<SmartAccountImplementation, "getFactoryArgs">;
}

/** From v0.8 on an operation is typed data; before, its hash is signed as a message. */
export async function signOperation(build: Build, chainId: number, userOperation: UserOperation, signer: Pick<Owner, "signTypedData" | "signMessage">) {
  const entryPointAddress = build.entryPoint;
  if (build.version !== "0.7") {
    return signer.signTypedData(getUserOperationTypedData({ chainId, entryPointAddress, userOperation }) as TypedDataDefinition);
  }
  return signer.signMessage(getUserOperationHash({ chainId, entryPointAddress, entryPointVersion: "0.7", userOperation }));
}

/** ERC-7739: the account's name inside the app's typed data, so that the signature is good for this account only. */
async function signNested(chainId: number, address: Address, data: TypedDataDefinition, owner: Owner): Promise<Hex> {
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
  const signature = await owner.signTypedData(asked as TypedDataDefinition);
  return wrapTypedDataSignature({ domain, types, primaryType, message, signature } as never);
}
