// Our account's builds for EntryPoints v0.7 and v0.9: as good to the bundler's rules, unstaked, as that for v0.8.
import assert from "node:assert/strict";
import { encodeFunctionData, isAddressEqual, zeroAddress } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toFabstirAccount } from "../account/account.js";
import { passkeyOwner, softwarePasskey } from "../account/passkey.js";
import { enableSession, marketplacePolicy, newSession, sessionId, toSessionAccount } from "../account/sessions.js";
import { permit, tokenGas } from "../account/tokenGas.js";
import { abi } from "../abi.js";
import { approve, callJobs, postJob, postedJobs } from "../jobs.js";
import { accountError, check } from "./check.js";
import { acting, buildFor, client, deployment, give, isStaked, mint, read, session, usdc } from "./world.js";

for (const version of ["0.7", "0.9"] as const) {
  const build = await buildFor(version);
  const owner = passkeyOwner(await softwarePasskey("https://app.fabstir.example"));
  const account = await toFabstirAccount(client, build, owner);
  const user = acting(account, null);
  await mint(account.address, usdc("200"));
  await give(account.address, "1");
  const job = [approve(session, usdc("1")), postJob(session, usdc("1"), "Why is the sky blue?")];

  await check(`v${version}: a passkey creates its account and posts a job`, async () => {
    const receipt = await user.act(job);
    assert.ok(isAddressEqual(receipt.entryPoint, build.entryPoint));
    assert.equal(postedJobs(receipt.logs, deployment.jobMarketplace).length, 1);
    for (const who of [user.address, build.factory]) assert.equal(await isStaked(build.entryPoint, who), false);
  });

  await check(`v${version}: another passkey is refused`, async () => {
    const passkey = await softwarePasskey("https://app.fabstir.example");
    const { code, message } = await user.refusedWithSignature(job, passkeyOwner(passkey));
    assert.deepEqual([code, message], [-32507, "signature: AA24 signature error"]);
  });

  await check(`v${version}: a session is enabled, used within its limits, and revoked`, async () => {
    const key = privateKeyToAccount(generatePrivateKey());
    const rules = marketplacePolicy(deployment, usdc("2"), usdc("2"));
    const policy = { ...newSession(key.address, zeroAddress, 1, rules), gasBudget: 10n ** 18n };
    const ownerSignature = await enableSession(deployment.chainId, account.address, policy, owner);
    const enabling = acting(await toSessionAccount(client, build, account.address, { session: policy, key, ownerSignature }), null);
    const [jobId] = postedJobs((await enabling.act(job)).logs, deployment.jobMarketplace);
    const using = acting(await toSessionAccount(client, build, account.address, { session: policy, key }), null);
    await using.act([callJobs(session, "cancelJob", [jobId])]);
    const over = await using.refused([approve(session, usdc("1") + 1n)]);
    assert.deepEqual([over.code, accountError(over).name], [-32500, "SpendLimitExceeded"]);
    const data = encodeFunctionData({ abi: abi.account, functionName: "revokeSession", args: [sessionId(policy)] });
    await user.act([{ to: account.address, data }]);
    assert.equal(accountError(await using.refused(job)).name, "SessionIsRevoked");
  });

  await check(`v${version}: gas is paid in USDC`, async () => {
    const paymaster = deployment.tokenPaymasters[`v${version}`]!;
    const now = Math.floor(Date.now() / 1000);
    const price = { token: deployment.token, tokensPerEth: usdc("3000"), validUntil: now + 600, validAfter: now - 60 };
    const signed = await permit(client, account, deployment.token, paymaster, usdc("100"));
    const signer = privateKeyToAccount(session.paymasterKey);
    const use = { paymaster, entryPoint: build.entryPoint, price, maxTokens: usdc("60"), signer, permit: signed };
    const before = await client.getBalance({ address: account.address });
    const receipt = await acting(account, tokenGas(use)).act(job);
    assert.ok(isAddressEqual(receipt.paymaster!, paymaster));
    assert.equal(await client.getBalance({ address: account.address }), before);
    assert.ok((await read<bigint>(paymaster, "tokenPaymaster", "availableOf", [deployment.token])) > 0n);
  });
}
