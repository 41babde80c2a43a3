import { readFileSync } from "node:fs";
import { createPublicClient, encodeFunctionData, http, parseAbi, parseUnits } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { sponsored, toFabstirAccount } from "@fabstir/sdk";

// Where everything is, as the running chain wrote it down.
const file = process.env["FABSTIR_DEV"] ?? "../.dev/dev.json";
const { deployment, nodeUrl, rpcUrl } = JSON.parse(readFileSync(file, "utf8"));
const client = createPublicClient({ chain: foundry, transport: http(nodeUrl) });

// A wallet with a fresh key and no ether. Its account does not exist yet: the first operation creates it.
const wallet = privateKeyToAccount(generatePrivateKey());
const account = await toFabstirAccount(client, deployment, wallet);

// Let the marketplace's escrow take a USDC when a job is posted. The paymaster pays for the gas.
const abi = parseAbi(["function approve(address spender, uint256 value) returns (bool)"]);
const data = encodeFunctionData({ abi, functionName: "approve", args: [deployment.paymentEscrow, parseUnits("1", 6)] });
const receipt = await sponsored(client, rpcUrl, account).act([{ to: deployment.token, data }]);

console.log(`account     ${account.address}`);
console.log(`operation   ${receipt.userOpHash}`);
console.log(`transaction ${receipt.receipt.transactionHash}`);
console.log(`paid by     ${receipt.paymaster}`);
console.log(`its ether   ${await client.getBalance({ address: account.address })}`);
