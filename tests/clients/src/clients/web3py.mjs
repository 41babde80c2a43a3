// An operation by hand with web3.py: src/python/operation.py makes, signs and sends each.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { encodeFunctionData, parseAbi } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { row } from "../table.mjs";
import { client, deployed, deployment, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const path = (of) => fileURLToPath(new URL(of, import.meta.url));
const python = path("../../.venv/bin/python");
const { simple } = deployed();
const key = newKey();
const abi = parseAbi(["function createAccount(address owner, uint256 salt) returns (address)", "function getAddress(address owner, uint256 salt) view returns (address)"]);
const args = [privateKeyToAccount(key).address, 0n];
const sender = await client.readContract({ address: simple.v07, abi, functionName: "getAddress", args });

const open = (sponsor) => ({
  async send(calls) {
    const asked = {
      rpcUrl, paymasterUrl: paymasterUrl[sponsor], key, sender, entryPoint: deployment.entryPoints["v0.7"], factory: simple.v07,
      factoryData: encodeFunctionData({ abi, functionName: "createAccount", args }), calls: calls.map(({ to, data }) => ({ to, data })),
    };
    const { stdout } = await promisify(execFile)(python, [path("../python/operation.py"), JSON.stringify(asked)]);
    return stdout.trim();
  },
});
await row("web3.py", "SimpleAccount v0.7", { entryPoint: "v0.7", address: sender, open });
