// An EOA that runs our account's code (EIP-7702).
import assert from "node:assert/strict";
import { concat } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { authorize, toDelegatedAccount } from "../account/account.js";
import { ecdsaOwner } from "../account/owner.js";
import { approve, postJob, postedJobs } from "../jobs.js";
import { check, refusal } from "./check.js";
import { acting, build, client, deployment, mint, read, session, tokens, usdc } from "./world.js";

const eoa = privateKeyToAccount(generatePrivateKey());
const user = acting(await toDelegatedAccount(client, build, eoa));
await mint(eoa.address, usdc("5"));
const calls = [approve(session, usdc("2")), postJob(session, usdc("2"), "Why is the sky blue?")];

await check("a delegation to anything else is not sponsored", async () => {
  const authorization = await eoa.signAuthorization({ address: deployment.token, chainId: deployment.chainId, nonce: 0 });
  const { code, message } = await refusal(user.send(calls, { authorization }));
  assert.equal(code, -32050, message);
  assert.match(message, /EIP-7702 accounts are sponsored only if they delegate to ours/);
});

await check("an EOA delegates and hires a host in its first operation, sponsored", async () => {
  const authorization = await authorize(client, build, eoa);
  const receipt = await user.act(calls, { authorization });
  assert.equal(receipt.sender.toLowerCase(), eoa.address.toLowerCase());
  assert.equal(await client.getCode({ address: eoa.address }), concat(["0xef0100", deployment.smartAccount]).toLowerCase());
  const [jobId] = postedJobs(receipt.logs, deployment.jobMarketplace);
  assert.equal((await read<{ payer: string }>(deployment.jobMarketplace, "jobs", "jobOf", [jobId])).payer, eoa.address);
  assert.equal(await tokens(eoa.address), usdc("3"));
});

await check("it acts again without an authorization, and never held ETH", async () => {
  await user.act([approve(session, usdc("1")), postJob(session, usdc("1"), "Why is grass green?")]);
  assert.equal(await tokens(eoa.address), usdc("2"));
  assert.equal(await client.getBalance({ address: eoa.address }), 0n);
});

await check("another key's signature is refused", async () => {
  const other = ecdsaOwner(privateKeyToAccount(generatePrivateKey()));
  const { code } = await user.refusedWithSignature([approve(session, 1n)], other);
  assert.equal(code, -32507);
});
