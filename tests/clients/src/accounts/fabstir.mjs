// Our own account, as tests/viem has it for its version of the EntryPoint.
import { readFileSync } from "node:fs";
import { encodeDeployData, encodeFunctionData, pad } from "viem";
import { entryPoint08Abi, getUserOperationHash, getUserOperationTypedData, toSmartAccount } from "viem/account-abstraction";
import { client, deployment, faucet } from "../world.mjs";

const artifact = (name) => {
  const { abi, bytecode } = JSON.parse(readFileSync(new URL(`../../../../contracts/out/${name}.sol/${name}.json`, import.meta.url), "utf8"));
  return { abi, bytecode: bytecode.object };
};
const account = artifact("SmartAccount");
const factory = artifact("SmartAccountFactory");
const STUB = "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

async function deploy({ abi, bytecode }, args) {
  const hash = await faucet.sendTransaction({ data: encodeDeployData({ abi, bytecode, args }) });
  return (await client.waitForTransactionReceipt({ hash })).contractAddress;
}

async function factoryOf(version, entryPoint) {
  if (version === "v0.8") return deployment.smartAccountFactory;
  return deploy(factory, [await deploy(account, [entryPoint])]);
}

/** An account of this owner's, which its first operation creates. */
export async function fabstir(version, owner) {
  const entryPointAddress = deployment.entryPoints[version];
  const at = await factoryOf(version, entryPointAddress);
  const args = [[pad(owner.address, { size: 32 })], 0n];
  const address = await client.readContract({ address: at, abi: factory.abi, functionName: "getAddress", args });
  return toSmartAccount({
    client,
    entryPoint: { abi: entryPoint08Abi, address: entryPointAddress, version: version.slice(1) },
    getAddress: async () => address,
    getFactoryArgs: async () => ({ factory: at, factoryData: encodeFunctionData({ abi: factory.abi, functionName: "createAccount", args }) }),
    encodeCalls: async (calls) =>
      encodeFunctionData({ abi: account.abi, functionName: "executeBatch", args: [calls.map(({ to, value = 0n, data = "0x" }) => ({ target: to, value, data }))] }),
    getStubSignature: async () => STUB,
    async signUserOperation(operation) {
      const asked = { chainId: client.chain.id, entryPointAddress, userOperation: { ...operation, sender: address } };
      if (version !== "v0.7") return owner.signTypedData(getUserOperationTypedData(asked));
      return owner.signMessage({ message: { raw: getUserOperationHash({ ...asked, entryPointVersion: "0.7" }) } });
    },
    signMessage: () => Promise.reject(new Error("not asked for here")),
    signTypedData: () => Promise.reject(new Error("not asked for here")),
  });
}
