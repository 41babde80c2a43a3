// An account whose only owner is a passkey.
import assert from "node:assert/strict";
import { concat } from "viem";
import { toFabstirAccount } from "../account/account.js";
import { type Passkey, passkeyOwner, softwarePasskey } from "../account/passkey.js";
import { approve, callJobs, postJob, postedJobs } from "../jobs.js";
import { check } from "./check.js";
import { acting, build, client, deployment, isStaked, mint, read, session, tokens, usdc } from "./world.js";

const passkey = await softwarePasskey("https://app.fabstir.example");
const account = await toFabstirAccount(client, build, passkeyOwner(passkey));
const user = acting(account);
await mint(user.address, usdc("5"));
const price = usdc("5");
let jobId: string;

await check("a passkey's first operation creates its account and hires a host, sponsored", async () => {
  assert.equal(await client.getCode({ address: user.address }), undefined);
  const receipt = await user.act([approve(session, price), postJob(session, price, "Why is the sky blue?")]);
  [jobId] = postedJobs(receipt.logs, deployment.jobMarketplace) as [string];
  assert.equal(await read(user.address, "account", "isOwner", [concat([passkey.x, passkey.y])]), true);
  assert.equal(await read(user.address, "account", "ownerCount"), 1n);
  const job = await read<{ payer: string }>(deployment.jobMarketplace, "jobs", "jobOf", [jobId]);
  assert.equal(job.payer, user.address);
  assert.equal(await tokens(user.address), 0n);
});

await check("the passkey acts again without the factory", async () => {
  await user.act([callJobs(session, "cancelJob", [jobId])]);
  assert.equal(await read(deployment.paymentEscrow, "escrow", "creditOf", [user.address, deployment.token]), price);
  assert.equal(await client.getBalance({ address: user.address }), 0n, "the account never held ETH");
  for (const who of [user.address, build.factory]) assert.equal(await isStaked(build.entryPoint, who), false);
});

await check("what the passkey did not sign is refused as a wrong signature", async () => {
  const calls = [approve(session, 1n)];
  const another = await softwarePasskey("https://app.fabstir.example");
  const wrong: Record<string, Passkey> = {
    "by another passkey": { ...passkey, sign: (challenge) => another.sign(challenge) },
    "by a passkey that is no owner": another,
    "for another challenge": { ...passkey, sign: () => passkey.sign(`0x${"11".repeat(32)}`) },
    "without verifying the user": {
      ...passkey,
      async sign(challenge) {
        const assertion = await passkey.sign(challenge);
        return { ...assertion, authenticatorData: assertion.authenticatorData.replace(/^(0x.{64})05/, "$101") as `0x${string}` };
      },
    },
  };
  for (const [how, by] of Object.entries(wrong)) {
    const { code, message } = await user.refusedWithSignature(calls, passkeyOwner(by));
    assert.deepEqual([how, code, message], [how, -32507, "signature: AA24 signature error"]);
  }
});
