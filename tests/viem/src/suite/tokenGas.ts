// Gas paid in USDC by an account without ETH, at a price that the paymaster's signer promised.
import assert from "node:assert/strict";
import { decodeEventLog, encodeFunctionData, isAddressEqual, parseEther } from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toFabstirAccount } from "../account/account.js";
import { passkeyOwner, softwarePasskey } from "../account/passkey.js";
import { type TokenGas, type TokenPrice, permit, tokenGas } from "../account/tokenGas.js";
import { abi } from "../abi.js";
import { type Call, approve, postJob, postedJobs } from "../jobs.js";
import { check } from "./check.js";
import { GAS, acting, build, client, deploy, deployment, faucet, fromFaucet, isStaked, mint, read, session, tokens, usdc } from "./world.js";

const signer = privateKeyToAccount(session.paymasterKey);
const paymaster = deployment.tokenPaymasters["v0.8"]!;
const tokensPerEth = usdc("3000");
const maxTokens = usdc("60");

const price = (): TokenPrice => {
  const now = Math.floor(Date.now() / 1000);
  return { token: deployment.token, tokensPerEth, validUntil: now + 600, validAfter: now - 60 };
};

const paying = (account: SmartAccount, use: Partial<TokenGas> = {}) =>
  acting(account, tokenGas({ paymaster, entryPoint: build.entryPoint, price: price(), maxTokens, signer, ...use }));

const account = await toFabstirAccount(client, build, privateKeyToAccount(generatePrivateKey()));
const job = [approve(session, usdc("1")), postJob(session, usdc("1"), "Why is the sky blue?")];
await mint(account.address, usdc("200"));
// The paymaster may touch the account's tokens in validation only once the account exists (STO-022).
await acting(account).act([approve(session, 0n)]);

/** As a careful wallet sets them: what is not used comes back. */
const AMPLE = { ...GAS, paymasterVerificationGasLimit: 300_000n, paymasterPostOpGasLimit: 100_000n };

type Receipt = Awaited<ReturnType<ReturnType<typeof paying>["act"]>>;

function charge(receipt: Receipt): { charged: bigint; refunded: bigint } {
  for (const log of receipt.logs.filter((log) => isAddressEqual(log.address, paymaster))) {
    const event = decodeEventLog({ abi: abi.tokenPaymaster, ...log });
    if (event.eventName === "TokensCharged") return event.args as unknown as { charged: bigint; refunded: bigint };
  }
  return assert.fail("nothing was charged");
}

/** What the operation's gas is worth, rounded up as the paymaster does. */
const worth = (receipt: Receipt) => (receipt.actualGasCost * tokensPerEth + parseEther("1") - 1n) / parseEther("1");

/** Pays for one operation; what comes back of that which was taken before it ran. */
async function actPaying(calls: Call[], actor: ReturnType<typeof paying>, limits: Partial<typeof AMPLE> = {}): Promise<bigint> {
  const before = await tokens(account.address);
  const deposit = await read<bigint>(paymaster, "tokenPaymaster", "getDeposit");
  const earned = await read<bigint>(paymaster, "tokenPaymaster", "availableOf", [deployment.token]);
  const receipt = await actor.act(calls, limits);
  const { charged, refunded } = charge(receipt);
  assert.ok(isAddressEqual(receipt.paymaster!, paymaster));
  assert.ok(charged >= worth(receipt), `charged ${charged} for ${worth(receipt)}`);
  assert.ok(charged <= (worth(receipt) * 13n) / 10n, `charged ${charged} for no more than ${worth(receipt)}`);
  const jobs = postedJobs(receipt.logs, deployment.jobMarketplace).length;
  assert.equal(before - (await tokens(account.address)), charged + usdc("1") * BigInt(jobs), "it paid that and no more");
  assert.equal(deposit - (await read<bigint>(paymaster, "tokenPaymaster", "getDeposit")), receipt.actualGasCost);
  assert.equal((await read<bigint>(paymaster, "tokenPaymaster", "availableOf", [deployment.token])) - earned, charged);
  assert.equal(await client.getBalance({ address: account.address }), 0n);
  return refunded;
}

await check("an account without ETH permits the paymaster and pays for a job's gas in USDC, in one operation", async () => {
  assert.equal(await read(deployment.token, "token", "allowance", [account.address, paymaster]), 0n);
  const signed = await permit(client, account, deployment.token, paymaster, usdc("100"));
  assert.ok((await actPaying(job, paying(account, { permit: signed }), AMPLE)) > usdc("1"), "the refund arrived");
});

await check("it pays again from the allowance that is left, with the limits that the bundler estimates", async () => {
  assert.ok((await read<bigint>(deployment.token, "token", "allowance", [account.address, paymaster])) > 0n);
  await actPaying(job, paying(account));
});

await check("a passkey's account permits and pays alike", async () => {
  const owner = passkeyOwner(await softwarePasskey("https://app.fabstir.example"));
  const another = await toFabstirAccount(client, build, owner);
  await mint(another.address, usdc("100"));
  await acting(another).act([approve(session, 0n)]);
  const signed = await permit(client, another, deployment.token, paymaster, usdc("100"));
  const receipt = await paying(another, { permit: signed }).act(job);
  assert.equal(usdc("99") - (await tokens(another.address)), charge(receipt).charged);
});

await check("a price that the signer did not promise is refused", async () => {
  const { code, message } = await paying(account, { signer: privateKeyToAccount(generatePrivateKey()) }).refused(job, AMPLE);
  assert.deepEqual([code, message], [-32507, "paymasterData: AA34 signature error"]);
});

await check("more tokens than the account allows are not taken", async () => {
  const { code, message } = await paying(account, { maxTokens: 1n }).refused(job, AMPLE);
  assert.equal(code, -32501, message);
  assert.match(message, /AA33/);
});

const twin = await deploy("TokenPaymaster", [build.entryPoint, faucet.account.address, [signer.address]]);
await fromFaucet(twin, "tokenPaymaster", "deposit", [], parseEther("1"));

await check("a twin of the paymaster that has no stake is refused by rule", async () => {
  const config = await read(paymaster, "tokenPaymaster", "getToken", [deployment.token]);
  await fromFaucet(twin, "tokenPaymaster", "setToken", [deployment.token, config]);
  const signed = await permit(client, account, deployment.token, twin, usdc("100"));
  const actor = paying(account, { paymaster: twin, permit: signed });
  const { code, message } = await actor.refused(job, AMPLE);
  assert.equal(code, -32502, message);
  assert.match(message, /STO-03[1-3]/);
  assert.deepEqual([await isStaked(build.entryPoint, twin), await isStaked(build.entryPoint, paymaster)], [false, true]);

  await fromFaucet(twin, "tokenPaymaster", "addStake", [86_400], parseEther("1"));
  const receipt = await actor.act(job);
  assert.ok(isAddressEqual(receipt.paymaster!, twin), "a stake is all that it lacked");
});

await check("a token that does not keep balances in plain mappings pays for no gas, whoever has a stake", async () => {
  const token = await deploy("TestUSDC", []);
  await fromFaucet(token, "token", "mint", [account.address, usdc("100")]);
  const config = await read(paymaster, "tokenPaymaster", "getToken", [deployment.token]);
  await fromFaucet(twin, "tokenPaymaster", "setToken", [token, config]);
  const approval = encodeFunctionData({ abi: abi.token, functionName: "approve", args: [twin, usdc("100")] });
  // With a limit of its own: the bundler may not have seen the block that the token is in.
  await paying(account).act([{ to: token, data: approval }], { callGasLimit: 100_000n });
  const { code, message } = await paying(account, { paymaster: twin, price: { ...price(), token } }).refused(job, AMPLE);
  assert.equal(code, -32502, message);
  assert.match(message, /STO-033/);
});
