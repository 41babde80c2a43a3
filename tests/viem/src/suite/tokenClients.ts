// The clients that apps use, paying for gas in USDC on every EntryPoint: our service quotes, and signs the price.
import assert from "node:assert/strict";
import { type Address, encodeFunctionData, http, isAddressEqual, parseEther } from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import { createSmartAccountClient } from "permissionless";
import { createPimlicoClient } from "permissionless/clients/pimlico";
import { prepareUserOperationForErc20Paymaster } from "permissionless/experimental/pimlico";
import { permit } from "../account/tokenGas.js";
import { abi } from "../abi.js";
import { approve } from "../jobs.js";
import { check } from "./check.js";
import { type Sender, VERSIONS, type Version, as, permissionlessAccount, viem, viemAccount } from "./senders.js";
import { client, deployment, mint, read, session, tokens, usdc } from "./world.js";

const { token } = deployment;
const paymasterOf = (version: Version) => deployment.tokenPaymasters[`v${version}`]!;

/** An account that is there, has USDC and no ETH, and lets the paymaster take of it, if it is to. */
async function ready(account: SmartAccount, spender?: Address) {
  const { factory, factoryData } = await account.getFactoryArgs();
  if (!(await account.isDeployed())) await as(deployment.nodeRegistry, factory!, factoryData!);
  await mint(account.address, usdc("100"));
  if (spender) await as(account.address, token, encodeFunctionData({ abi: abi.token, functionName: "approve", args: [spender, usdc("50")] }));
  assert.equal(await client.getBalance({ address: account.address }), 0n);
}

/** permissionless as its documentation has it for ERC-20 gas. */
function paysByPermissionless(version: Version, account: SmartAccount): Sender {
  const [chain, transport] = [client.chain!, http(session.rpcUrl)];
  const pimlico = createPimlicoClient({ chain, transport, entryPoint: { address: account.entryPoint.address, version } as never });
  const bundler = createSmartAccountClient({
    account,
    chain,
    client,
    bundlerTransport: transport,
    paymaster: pimlico,
    paymasterContext: { token },
    pollingInterval: 50,
    userOperation: {
      estimateFeesPerGas: async () => (await pimlico.getUserOperationGasPrice()).fast,
      prepareUserOperation: prepareUserOperationForErc20Paymaster(pimlico) as never,
    },
  });
  return { name: "permissionless", version, account, bundler: bundler as unknown as Sender["bundler"] };
}

async function pays({ name, version, account, bundler }: Sender, how = "an account without ETH pays in USDC") {
  await check(`${name}, v${version}: ${how}`, async () => {
    const [before, earned] = [await tokens(account.address), await read<bigint>(paymasterOf(version), "tokenPaymaster", "availableOf", [token])];
    const hash = await bundler.sendUserOperation({ calls: [approve(session, 7n)] });
    const receipt = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
    assert.ok(receipt.success, receipt.reason);
    assert.ok(isAddressEqual(receipt.paymaster!, paymasterOf(version)));
    const paid = before - (await tokens(account.address));
    assert.equal((await read<bigint>(paymasterOf(version), "tokenPaymaster", "availableOf", [token])) - earned, paid);
    // 3,000 USDC for 1 ETH, and 5 % on top: what it cost is covered, and not much more is taken.
    const worth = (receipt.actualGasCost * usdc("3150")) / parseEther("1");
    assert.ok(paid > worth && paid < (worth * 14n) / 10n, `${paid} for ${worth}`);
    assert.equal(await client.getBalance({ address: account.address }), 0n);
  });
}

for (const version of VERSIONS) {
  const [ofViem, ofPermissionless] = [await viemAccount(version), await permissionlessAccount(version)];
  for (const account of [ofViem, ofPermissionless]) await ready(account, paymasterOf(version));
  await pays(viem(version, ofViem, { erc20: token }));
  await pays(paysByPermissionless(version, ofPermissionless));
}

const account = await viemAccount("0.8");
await ready(account);
const signed = await permit(client, account, token, paymasterOf("0.8"), usdc("20"));
await pays(viem("0.8", account, { token, permit: signed }), "an account permits and pays in one operation");
