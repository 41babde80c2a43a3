// The authors' own @account-abstraction/sdk.
import { createRequire } from "node:module";
import { HttpRpcClient, SimpleAccountAPI } from "@account-abstraction/sdk";
import { row } from "../table.mjs";
import { chain, deployed, deployment, hex, newKey, paymasterUrl, rpc, rpcUrl } from "../world.mjs";

const { simple } = deployed();
const { ethers } = createRequire(createRequire(import.meta.url).resolve("@account-abstraction/sdk"))("ethers");
const entryPointAddress = deployment.entryPoints["v0.6"];
const provider = new ethers.providers.JsonRpcProvider(rpcUrl);
const owner = new ethers.Wallet(newKey());

/** Its users write this class themselves: the SDK has the interface only. */
const paymasterAPI = (url) => ({
  async getPaymasterAndData(partial) {
    const op = await ethers.utils.resolveProperties({ ...partial, signature: `0x${"ff".repeat(32)}${"07".repeat(32)}1c` });
    const asked = Object.fromEntries(Object.entries(op).map(([key, value]) => [key, key === "paymasterAndData" ? "0x" : ethers.BigNumber.isBigNumber(value) ? value.toHexString() : hex(value)]));
    return (await rpc("pm_getPaymasterData", [asked, entryPointAddress, hex(chain.id), {}], url)).paymasterAndData;
  },
});

/** It reckons `preVerificationGas` itself, by the prices of 2023, and lets them be set: calldata's floor (EIP-7623) is later. */
const overheads = { nonZeroByte: 40, zeroByte: 10 };

const api = (sponsor) =>
  new SimpleAccountAPI({ provider, entryPointAddress, owner, factoryAddress: simple.v06, overheads, ...(sponsor ? { paymasterAPI: paymasterAPI(paymasterUrl[sponsor]) } : {}) });

const open = async (sponsor) => {
  const bundler = new HttpRpcClient(rpcUrl, entryPointAddress, chain.id);
  const account = api(sponsor);
  return {
    async send([{ to, data, value }]) {
      const operation = await account.createSignedUserOp({ target: to, data, value, gasLimit: 100_000 });
      return bundler.sendUserOpToBundler(operation);
    },
  };
};
await row("@account-abstraction/sdk", "SimpleAccount v0.6", {
  entryPoint: "v0.6", address: await api().getAccountAddress(), open,
  skip: { batch: "the client cannot: its API encodes one call" },
  refused: { sponsor: ["AA34", "the client's fault: it writes another preVerificationGas into the operation after the paymaster has signed over that field, as v0.6's verifying paymasters do (AA34)"] },
});
