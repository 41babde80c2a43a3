// permissionless over viem, as its documentation has it, with the accounts that it has code for.
import { createSmartAccountClient } from "permissionless";
import { toKernelSmartAccount, toSafeSmartAccount, toSimpleSmartAccount, toThirdwebSmartAccount } from "permissionless/accounts";
import { createPimlicoClient } from "permissionless/clients/pimlico";
import { http } from "viem";
import { thirdwebCreation } from "../accounts/thirdweb.mjs";
import { row } from "../table.mjs";
import { chain, client, deployed, deployment, newOwner, paymasterUrl, rpcUrl } from "../world.mjs";

const { kernel, simple, thirdweb } = deployed();
const entryPoint = (version) => ({ address: deployment.entryPoints[`v${version}`], version });

function open(account) {
  const pimlico = (url) => createPimlicoClient({ chain, transport: http(url), entryPoint: account.entryPoint });
  return (sponsor) => {
    const smart = createSmartAccountClient({
      account,
      chain,
      client,
      bundlerTransport: http(rpcUrl),
      ...(sponsor ? { paymaster: pimlico(paymasterUrl[sponsor]) } : {}),
      userOperation: { estimateFeesPerGas: async () => (await pimlico(rpcUrl).getUserOperationGasPrice()).fast },
    });
    return { send: (calls) => smart.sendUserOperation({ calls }) };
  };
}

const accounts = {
  "SimpleAccount v0.6": ["0.6", (of) => toSimpleSmartAccount({ ...of, factoryAddress: simple.v06 })],
  "SimpleAccount v0.7": ["0.7", (of) => toSimpleSmartAccount({ ...of, factoryAddress: simple.v07 })],
  "SimpleAccount v0.8": ["0.8", (of) => toSimpleSmartAccount({ ...of, factoryAddress: simple.v08 })],
  Safe: ["0.7", ({ owner, ...of }) => toSafeSmartAccount({ ...of, owners: [owner], version: "1.4.1" })],
  Kernel: ["0.7", ({ owner, ...of }) =>
    toKernelSmartAccount({ ...of, owners: [owner], version: "0.3.1", factoryAddress: kernel.factory, accountLogicAddress: kernel.implementation, validatorAddress: kernel.validator, useMetaFactory: false })],
  thirdweb: ["0.6", (of) => toThirdwebSmartAccount({ ...of, factoryAddress: thirdweb.factory })],
};
for (const [name, [version, make]] of Object.entries(accounts)) {
  const owner = newOwner();
  const account = await make({ client, owner, entryPoint: entryPoint(version) });
  const creation = name === "thirdweb" ? thirdwebCreation(owner.address) : {};
  await row("permissionless", name, { entryPoint: `v${version}`, address: account.address, open: open(account), ...creation });
}
