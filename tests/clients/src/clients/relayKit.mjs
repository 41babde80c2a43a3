// Safe's relay kit: a Safe by its own pack.
import Safe from "@safe-global/protocol-kit";
import { Safe4337Pack } from "@safe-global/relay-kit";
import { getAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { row } from "../table.mjs";
import { deployed, deployment, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const { safe } = deployed();
const signer = newKey();

// The pack names no contracts but its own, and Safe's list of deployments has no chain 31337.
const init = Safe.init;
const contractNetworks = {
  [deployment.chainId]: {
    safeSingletonAddress: safe.Safe, safeProxyFactoryAddress: safe.SafeProxyFactory, multiSendAddress: safe.MultiSend,
    multiSendCallOnlyAddress: safe.MultiSendCallOnly, fallbackHandlerAddress: safe.CompatibilityFallbackHandler,
    signMessageLibAddress: safe.SignMessageLib, createCallAddress: safe.CreateCall, simulateTxAccessorAddress: safe.SimulateTxAccessor,
    safeWebAuthnSignerFactoryAddress: safe.CreateCall, safeWebAuthnSharedSignerAddress: safe.CreateCall,
  },
};
Safe.init = (config) => init.call(Safe, { ...config, contractNetworks });

const pack = (sponsor) =>
  Safe4337Pack.init({
    provider: rpcUrl,
    signer,
    bundlerUrl: rpcUrl,
    safeModulesVersion: "0.3.0",
    customContracts: {
      // As it writes it: it compares strings.
      entryPointAddress: getAddress(deployment.entryPoints["v0.7"]),
      safe4337ModuleAddress: safe.Safe4337Module,
      safeModulesSetupAddress: safe.SafeModuleSetup,
    },
    options: { owners: [privateKeyToAccount(signer).address], threshold: 1 },
    ...(sponsor ? { paymasterOptions: { isSponsored: true, paymasterUrl: paymasterUrl[sponsor] } } : {}),
  });

const open = async (sponsor) => {
  const of = await pack(sponsor);
  return {
    async send(calls) {
      const operation = await of.createTransaction({ transactions: calls.map(({ to, data, value }) => ({ to, data, value: String(value) })) });
      return of.executeTransaction({ executable: await of.signSafeOperation(operation) });
    },
  };
};
const address = await (await pack()).protocolKit.getAddress();
await row("Safe's relay kit", "Safe", {
  entryPoint: "v0.7", address, open,
  refused: { sponsor: ["paymasterPostOpGasLimit: missing", "the client's fault: it sends null for a paymasterPostOpGasLimit of zero, and ERC-7769 says of the paymaster's four fields “Must provide either all of these parameters, or none”"] },
});
