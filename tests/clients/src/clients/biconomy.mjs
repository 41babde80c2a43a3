// Biconomy's abstractjs on a Nexus account.
import { createRequire } from "node:module";
import { encodeAbiParameters, encodeFunctionData, http, parseAbi, parseAbiParameters, zeroAddress } from "viem";
import { row } from "../table.mjs";
import { chain, client, deployed, newOwner, paymasterUrl, rpcUrl } from "../world.mjs";

// Its ES modules name exports of `solady` that node does not find there.
const require = createRequire(import.meta.url);
const { MEEVersion, createBicoBundlerClient, createBicoPaymasterClient, toNexusAccount } = require("@biconomy/abstractjs");

const { nexus } = deployed();
const owner = newOwner();
const abi = parseAbi(["function initNexusWithSingleValidator(address validator, bytes data, address registry, address[] attesters, uint8 threshold)"]);
const init = encodeFunctionData({ abi, functionName: "initNexusWithSingleValidator", args: [nexus.validator, owner.address, zeroAddress, [], 0] });
const account = await toNexusAccount({
  signer: owner,
  chainConfiguration: {
    chain,
    transport: http(rpcUrl),
    version: {
      version: MEEVersion.V1_1_0, accountId: "biconomy.nexus.1.0.2", factoryAddress: nexus.factory, bootStrapAddress: nexus.bootstrap,
      implementationAddress: nexus.implementation, validatorAddress: nexus.validator, defaultValidatorAddress: nexus.validator,
      composableModuleAddress: nexus.validator, moduleRegistry: { registryAddress: zeroAddress, attesters: [], attesterThreshold: 0 },
    },
    versionCheck: false,
  },
  initData: encodeAbiParameters(parseAbiParameters("address, bytes"), [nexus.bootstrap, init]),
});

const open = (sponsor) => {
  const paymaster = sponsor ? { paymaster: createBicoPaymasterClient({ paymasterUrl: paymasterUrl[sponsor] }) } : {};
  const bundler = createBicoBundlerClient({ account, client, chain, bundlerUrl: rpcUrl, ...paymaster });
  return { send: (calls) => bundler.sendUserOperation({ calls }) };
};
await row("abstractjs", "Nexus", { entryPoint: "v0.7", address: account.address, open });
