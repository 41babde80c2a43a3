// ZeroDev's SDK on a Kernel account, with its own names for methods (`zd_…`).
import { signerToEcdsaValidator } from "@zerodev/ecdsa-validator";
import { createKernelAccount, createKernelAccountClient, createZeroDevPaymasterClient } from "@zerodev/sdk";
import { http } from "viem";
import { row } from "../table.mjs";
import { chain, client, deployed, deployment, newOwner, paymasterUrl, rpcUrl } from "../world.mjs";

const { kernel } = deployed();
const entryPoint = { address: deployment.entryPoints["v0.7"], version: "0.7" };
const kernelVersion = "0.3.1";
const sudo = await signerToEcdsaValidator(client, { signer: newOwner(), entryPoint, kernelVersion, validatorAddress: kernel.validator });
const account = await createKernelAccount(client, {
  plugins: { sudo }, entryPoint, kernelVersion, useMetaFactory: false, factoryAddress: kernel.factory, accountImplementationAddress: kernel.implementation,
});

const open = (sponsor) => {
  const paymaster = {
    getPaymasterData: (userOperation) => createZeroDevPaymasterClient({ chain, transport: http(paymasterUrl[sponsor]) }).sponsorUserOperation({ userOperation }),
  };
  const smart = createKernelAccountClient({ account, chain, client, bundlerTransport: http(rpcUrl), ...(sponsor ? { paymaster } : {}) });
  return { send: async (calls) => smart.sendUserOperation({ callData: await account.encodeCalls(calls) }) };
};
await row("@zerodev/sdk", "Kernel", { entryPoint: "v0.7", address: account.address, open });
