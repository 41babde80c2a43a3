// Stackup's userop on a SimpleAccount.
import { createRequire } from "node:module";
import { Client, Presets } from "userop";
import { row } from "../table.mjs";
import { deployed, deployment, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const { simple } = deployed();
const { ethers } = createRequire(createRequire(import.meta.url).resolve("userop"))("ethers");
const owner = new ethers.Wallet(newKey());
const entryPoint = deployment.entryPoints["v0.6"];

async function builder(sponsor) {
  const paymasterMiddleware = sponsor ? Presets.Middleware.verifyingPaymaster(paymasterUrl[sponsor], {}) : undefined;
  return Presets.Builder.SimpleAccount.init(owner, rpcUrl, { entryPoint, factory: simple.v06, paymasterMiddleware });
}

const open = async (sponsor) => {
  const [client, account] = [await Client.init(rpcUrl, { entryPoint }), await builder(sponsor)];
  return {
    async send(calls) {
      const [only] = calls;
      const asked = calls.length === 1
        ? account.execute(only.to, only.value, only.data)
        : account.executeBatch(calls.map(({ to }) => to), calls.map(({ data }) => data));
      return (await client.sendUserOperation(asked)).userOpHash;
    },
  };
};
await row("userop", "SimpleAccount v0.6", {
  entryPoint: "v0.6", address: (await builder()).getSender(), open,
  refused: {
    batch: ["out of gas", "the client's fault: it asks for an estimate with 35,000 gas for whatever is called, and ERC-7769 says of an estimate's limits that they “are used if specified”"],
  },
});
