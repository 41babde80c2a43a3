// Many calls in one operation: all of them, or none.
import assert from "node:assert/strict";
import { decodeErrorResult, keccak256, stringToHex, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toFabstirAccount } from "../account/account.js";
import { abi } from "../abi.js";
import { approve, postJob, postedJobs } from "../jobs.js";
import { check, refusal } from "./check.js";
import { GAS, acting, build, client, deployment, mint, read, session, tokens, usdc } from "./world.js";

const user = acting(await toFabstirAccount(client, build, privateKeyToAccount(generatePrivateKey())));
await mint(user.address, usdc("10"));
const allowance = () => read<bigint>(deployment.token, "token", "allowance", [user.address, deployment.paymentEscrow]);

await check("one operation approves, posts two jobs and takes the rest of the approval back", async () => {
  const receipt = await user.act([
    approve(session, usdc("9")),
    postJob(session, usdc("3"), "Why is the sky blue?"),
    postJob(session, usdc("4"), "Why is grass green?"),
    approve(session, 0n),
  ]);
  const jobs = postedJobs(receipt.logs, deployment.jobMarketplace);
  assert.equal(new Set(jobs).size, 2);
  for (const jobId of jobs) {
    assert.equal((await read<{ payer: string }>(deployment.jobMarketplace, "jobs", "jobOf", [jobId])).payer, user.address);
  }
  assert.equal(await tokens(user.address), usdc("3"));
  assert.equal(await allowance(), 0n);
});

await check("a call that fails takes back those before it, and says which it was", async () => {
  const calls = [
    approve(session, usdc("3")),
    postJob(session, usdc("1"), "Why is the sky blue?"),
    postJob(session, usdc("1"), "Why not?", { modelId: keccak256(stringToHex("no such model")) }),
  ];
  const estimated = await refusal(user.send(calls));
  assert.equal(estimated.code, -32521, estimated.message);

  const receipt = await user.receiptOf(await user.send(calls, GAS));
  assert.equal(receipt.success, false);
  const outer = decodeErrorResult({ abi: abi.account, data: receipt.reason as Hex });
  assert.equal(outer.errorName, "ExecuteError");
  const [index, inner] = outer.args as [bigint, Hex];
  assert.equal(index, 2n);
  assert.equal(decodeErrorResult({ abi: abi.jobs, data: inner }).errorName, "ModelNotAllowed");
  assert.equal(await tokens(user.address), usdc("3"));
  assert.equal(await allowance(), 0n);
  assert.deepEqual(postedJobs(receipt.logs, deployment.jobMarketplace), []);
});
