// Our SmartAccount as a viem smart account with one ECDSA owner.
import { type Address, type Hex, type LocalAccount, type PublicClient, encodeFunctionData, pad } from "viem";
import { entryPoint08Abi, getUserOperationTypedData, toSmartAccount } from "viem/account-abstraction";
import { abi } from "./abi.js";
import type { Deployment } from "./session.js";

/** Recovers to nobody, at the cost of a real signature. */
const DUMMY_SIGNATURE: Hex =
  "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

export async function toFabstirAccount(client: PublicClient, deployment: Deployment, owner: LocalAccount) {
  const owners = [pad(owner.address, { size: 32 })];
  const entryPoint = { abi: entryPoint08Abi, address: deployment.entryPoints["v0.8"]!, version: "0.8" } as const;
  const factory = deployment.smartAccountFactory;

  return toSmartAccount({
    client,
    entryPoint,
    async getAddress() {
      const args = [owners, 0n];
      return (await client.readContract({ address: factory, abi: abi.factory, functionName: "getAddress", args })) as Address;
    },
    async getFactoryArgs() {
      const args = [owners, 0n];
      return { factory, factoryData: encodeFunctionData({ abi: abi.factory, functionName: "createAccount", args }) };
    },
    async encodeCalls(calls) {
      const all = calls.map(({ to, value, data }) => ({ target: to, value: value ?? 0n, data: data ?? "0x" }));
      const [only] = all;
      return only && all.length === 1
        ? encodeFunctionData({ abi: abi.account, functionName: "execute", args: [only.target, only.value, only.data] })
        : encodeFunctionData({ abi: abi.account, functionName: "executeBatch", args: [all] });
    },
    async getStubSignature() {
      return DUMMY_SIGNATURE;
    },
    async signUserOperation({ chainId = deployment.chainId, ...userOperation }) {
      const typedData = getUserOperationTypedData({
        chainId,
        entryPointAddress: entryPoint.address,
        userOperation: { ...userOperation, sender: userOperation.sender ?? (await this.getAddress()) },
      });
      return owner.signTypedData!(typedData);
    },
    async signMessage(): Promise<Hex> {
      throw new Error("this client signs operations only");
    },
    async signTypedData(): Promise<Hex> {
      throw new Error("this client signs operations only");
    },
  });
}
