// thirdweb's smart wallet, its bundler and paymaster ours.
import { createThirdwebClient, defineChain, prepareTransaction, sendBatchTransaction, sendTransaction } from "thirdweb";
import { smartWallet } from "thirdweb/wallets/smart";
import { thirdwebCreation } from "../accounts/thirdweb.mjs";
import { row } from "../table.mjs";
import { deployed, deployment, hex, newOwner, paymasterUrl, rpc, rpcUrl, session } from "../world.mjs";

const { thirdweb } = deployed();
const client = createThirdwebClient({ clientId: "local" });
const chain = defineChain({ id: deployment.chainId, rpc: session.nodeUrl });

async function wallet(entryPoint, factoryAddress, personalAccount, sponsor) {
  const entrypointAddress = deployment.entryPoints[entryPoint];
  const hexed = (op) => Object.fromEntries(Object.entries(op).map(([key, value]) => [key, hex(value)]));
  const paymaster = async (op) => {
    const sponsored = await rpc("pm_sponsorUserOperation", [hexed(op), entrypointAddress], paymasterUrl[sponsor]);
    const limits = Object.entries(sponsored).map(([key, value]) => [key, /Gas/.test(key) ? BigInt(value) : value]);
    return Object.fromEntries(limits);
  };
  const smart = smartWallet({
    chain, factoryAddress, sponsorGas: Boolean(sponsor), overrides: { bundlerUrl: rpcUrl, entrypointAddress, ...(sponsor ? { paymaster } : {}) },
  });
  return smart.connect({ client, personalAccount });
}

const owner = newOwner();
const open = async (sponsor) => {
  const account = await wallet("v0.6", thirdweb.factory, owner, sponsor);
  return {
    async send(calls) {
      const transactions = calls.map((call) => prepareTransaction({ client, chain, ...call }));
      const { transactionHash } = transactions.length === 1
        ? await sendTransaction({ account, transaction: transactions[0] })
        : await sendBatchTransaction({ account, transactions });
      return { transaction: transactionHash };
    },
  };
};
const { address } = await wallet("v0.6", thirdweb.factory, owner);
await row("thirdweb", "thirdweb", { entryPoint: "v0.6", address, open, ...thirdwebCreation(owner.address) });
