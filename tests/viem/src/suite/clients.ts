// The clients that apps use, each with our service at its paymaster URL, on every EntryPoint: sponsored.
import assert from "node:assert/strict";
import { isAddressEqual } from "viem";
import { approve } from "../jobs.js";
import { check } from "./check.js";
import { type Sender, VERSIONS, senders } from "./senders.js";
import { client, deployment, read, session } from "./world.js";

async function acts({ name, version, account, bundler }: Sender, amount: bigint) {
  await check(`${name}, v${version}: an account without ETH acts, sponsored`, async () => {
    const hash = await bundler.sendUserOperation({ calls: [approve(session, amount)] });
    const receipt = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
    assert.ok(receipt.success, receipt.reason);
    assert.ok(isAddressEqual(receipt.entryPoint, deployment.entryPoints[`v${version}`]!));
    assert.ok(isAddressEqual(receipt.paymaster!, deployment.paymasters[`v${version}`]!));
    assert.equal(await client.getBalance({ address: account.address }), 0n);
    assert.equal(await read<bigint>(deployment.token, "token", "allowance", [account.address, deployment.paymentEscrow]), amount);
  });
}

for (const version of VERSIONS) {
  for (const [index, sender] of (await senders(version)).entries()) await acts(sender, BigInt(index + 1));
}
