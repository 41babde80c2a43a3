// A session key that may spend so much a day on jobs of the real marketplace, and nothing else.
import assert from "node:assert/strict";
import { encodeFunctionData, getAddress, toHex, zeroAddress, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toFabstirAccount } from "../account/account.js";
import { webCryptoKey } from "../account/passkey.js";
import { type SessionPolicy, type SessionUse, enableSession, marketplacePolicy, newSession, sessionId, toSessionAccount } from "../account/sessions.js";
import { abi } from "../abi.js";
import { type Call, approve, callJobs, postJob, postedJobs } from "../jobs.js";
import { accountError, check } from "./check.js";
import { acting, build, client, deployment, give, mint, read, session, tokens, usdc } from "./world.js";

const sponsor = getAddress(deployment.paymasters["v0.8"]!);
const wallet = privateKeyToAccount(generatePrivateKey());
const account = await toFabstirAccount(client, build, wallet);
const owner = acting(account, null);
await mint(account.address, usdc("100"));

// What the dapp keeps: a key, what it may do, and the owner's signature of that.
const key = privateKeyToAccount(generatePrivateKey());
const perDay = usdc("10");
const policy = newSession(key.address, sponsor, 30, marketplacePolicy(deployment, perDay, usdc("25")));
const id = sessionId(policy);
const ownerSignature = await enableSession(deployment.chainId, account.address, policy, wallet);
const sessionActor = async (use: Partial<SessionUse> = {}, paid?: null) =>
  acting(await toSessionAccount(client, build, account.address, { session: policy, key, ...use }), paid);

const deadline = Math.floor(Date.now() / 1000) + 7 * 86_400;
const job = (price: bigint) => [approve(session, price), postJob(session, price, "Why is the sky blue?", { deadline })];
const spent = async (of = id) => (await read<[number, bigint, bigint]>(account.address, "account", "getSpent", [of, 1n])).map(Number);
const escrow = (functionName: string, args: unknown[]): Call => ({
  to: deployment.paymentEscrow, data: encodeFunctionData({ abi: abi.escrow, functionName, args }),
});
const token = (functionName: string, args: unknown[]): Call => ({
  to: deployment.token, data: encodeFunctionData({ abi: abi.token, functionName, args }),
});
let jobId: Hex;

await check("the policy is that of MarketplacePolicy.sol", async () => {
  const at = (n: number) => toHex(n, { size: 20 });
  const rules = marketplacePolicy({ token: at(9), paymentEscrow: at(10), jobMarketplace: at(11) }, 12n, 13n);
  const times = { validAfter: 1, validUntil: 2, period: 3, maxUses: 4, epoch: 5n, salt: 6n };
  const fixed = { key: toHex(1, { size: 32 }), ...times, paymaster: at(7), gasBudget: 8n, vouchers: [], ...rules };
  // As in contracts/test/BaseAccount/test_marketplace_policy.t.sol.
  assert.equal(sessionId(fixed), "0x2bf17e77385bb9bac8862bde5562a76e85ec6b87531cccbec85b3f9230e5bf68");
});

await check("one sponsored operation creates the account, enables the session and posts a job", async () => {
  const factoryArgs = await account.getFactoryArgs();
  const receipt = await (await sessionActor({ ownerSignature, factoryArgs })).act(job(usdc("4")));
  jobId = postedJobs(receipt.logs, deployment.jobMarketplace)[0]!;
  const posted = await read<{ payer: string; amount: bigint }>(deployment.jobMarketplace, "jobs", "jobOf", [jobId]);
  assert.equal(posted.payer, account.address);
  assert.equal(posted.amount, usdc("4"));
  assert.equal(await read(account.address, "account", "getSessionId", [policy]), id);
  const [status] = await read<[number, number, bigint]>(account.address, "account", "getSession", [id]);
  assert.equal(status, 1);
  assert.deepEqual(await spent(), [0, 4e6, 4e6]);
});

const user = await sessionActor();

await check("operations of different lanes do not wait for each other", async () => {
  const lanes = await Promise.all([1, 2, 3].map((lane) => sessionActor({ lane })));
  const hashes = await Promise.all(lanes.map((each) => each.send(job(usdc("1")))));
  const receipts = await Promise.all(hashes.map((hash) => user.receiptOf(hash)));
  assert.deepEqual(receipts.map((receipt) => receipt.success), [true, true, true]);
  const sequence = (1n << 64n) - 1n;
  assert.deepEqual(receipts.map((receipt) => receipt.nonce & sequence), [0n, 0n, 0n]);
  assert.equal(new Set(receipts.map((receipt) => receipt.nonce)).size, 3);
  assert.deepEqual(await spent(), [0, 7e6, 7e6]);
});

await check("what would go over the day's limit is refused, naming limit and amount", async () => {
  const over = await user.refused(job(usdc("3") + 1n));
  assert.deepEqual([over.code, accountError(over)], [-32500, { name: "SpendLimitExceeded", args: [0n, usdc("3") + 1n] }]);
  // From the allowance that is left, or from credit: what jobs cost is limited as well.
  const unapproved = await user.refused([postJob(session, usdc("4"), "And grass?")]);
  assert.deepEqual(accountError(unapproved), { name: "SpendLimitExceeded", args: [1n, usdc("4")] });
  assert.deepEqual(await spent(), [0, 7e6, 7e6]);
  await user.act(job(usdc("3")));
  assert.deepEqual(await spent(), [0, 10e6, 10e6]);
});

await check("calls that the policy does not list are refused, wherever they stand", async () => {
  const fine = callJobs(session, "cancelJob", [jobId]);
  const forbidden: Record<string, Call> = {
    "a transfer": token("transfer", [key.address, 1n]),
    "another's approval": approve(session, 1n, key.address),
    "a withdrawal to the key": escrow("withdraw", [deployment.token, key.address, 1n]),
    "a claim": callJobs(session, "claimJob", [jobId, 1n]),
    "the account's owners": { to: account.address, data: encodeFunctionData({ abi: abi.account, functionName: "addOwner", args: [policy.key] }) },
    "the EntryPoint": { to: build.entryPoint, data: "0x12345678" },
  };
  // Paid by the account itself: the sponsor would refuse some of them before the bundler could.
  await give(account.address, "1");
  const paying = { ...policy, paymaster: zeroAddress, gasBudget: 10n ** 18n, salt: 1n };
  await owner.act([{ to: account.address, data: encodeFunctionData({ abi: abi.account, functionName: "enableSession", args: [paying] }) }]);
  const unsponsored = await sessionActor({ session: paying }, null);
  for (const [what, call] of Object.entries(forbidden)) {
    const refused = await unsponsored.refused([fine, call]);
    assert.deepEqual([what, refused.code, accountError(refused)], [what, -32500, { name: "CallNotAllowed", args: [1n] }]);
  }
  const sponsored = await sessionActor({ session: paying });
  const another = accountError(await sponsored.refused([fine]));
  assert.deepEqual(another, { name: "PaymasterNotAllowed", args: [sponsor] });
});

await check("the session cancels its job, and the refund goes to the account and nobody else", async () => {
  await user.act([callJobs(session, "cancelJob", [jobId])]);
  const before = await tokens(account.address);
  await user.act([escrow("withdraw", [deployment.token, account.address, usdc("4")])]);
  assert.equal((await tokens(account.address)) - before, usdc("4"));
  assert.equal(await tokens(key.address), 0n);
  assert.deepEqual(await spent(), [0, 10e6, 10e6], "a refund does not widen the limit");
});

await check("another key's signature for the session is refused", async () => {
  const thief = await sessionActor({ key: privateKeyToAccount(generatePrivateKey()) });
  const { code, message } = await thief.refused([callJobs(session, "cancelJob", [jobId])]);
  assert.deepEqual([code, message], [-32507, "signature: AA24 signature error"]);
});

await check("a P-256 key that cannot leave WebCrypto is a session's key as well, and another one is not", async () => {
  const hidden = await webCryptoKey();
  const ofHidden = newSession(hidden.bytes, sponsor, 30, marketplacePolicy(deployment, perDay, usdc("25")));
  const signed = await enableSession(deployment.chainId, account.address, ofHidden, wallet);
  const use = { session: ofHidden, key: hidden, ownerSignature: signed };
  await (await sessionActor(use)).act(job(usdc("1")));
  assert.deepEqual(await spent(sessionId(ofHidden)), [0, 1e6, 1e6]);
  const { code } = await (await sessionActor({ ...use, key: await webCryptoKey() })).refused(job(usdc("1")));
  assert.equal(code, -32507);
});

await check("a session that no owner signed is refused", async () => {
  const mine: SessionPolicy = { ...policy, salt: policy.salt ^ 1n };
  const unsigned = await (await sessionActor({ session: mine })).refused(job(1n));
  assert.deepEqual([unsigned.code, accountError(unsigned)], [-32500, { name: "SessionNotEnabled", args: [sessionId(mine)] }]);
  const forged = await enableSession(deployment.chainId, account.address, mine, key);
  const { code } = await (await sessionActor({ session: mine, ownerSignature: forged })).refused(job(1n));
  assert.equal(code, -32507);
});

await check("a new day brings a new limit, until the session's own is reached", async () => {
  // The sponsor's clock does not turn with the chain's: from here on the account pays.
  const paying: SessionPolicy = { ...policy, paymaster: zeroAddress, gasBudget: 10n ** 18n, salt: 2n };
  const signed = await enableSession(deployment.chainId, account.address, paying, wallet);
  const use = { session: paying, ownerSignature: signed };
  const days = [];
  for (const price of ["10", "10", "5"]) {
    await (await sessionActor(use, null)).act(job(usdc(price)));
    days.push(await spent(sessionId(paying)));
    await client.request({ method: "evm_increaseTime", params: [86_400] } as never);
    await client.request({ method: "evm_mine" } as never);
  }
  assert.deepEqual(days, [[0, 10e6, 10e6], [1, 10e6, 20e6], [2, 5e6, 25e6]]);
  const refused = await (await sessionActor(use, null)).refused(job(1n));
  assert.deepEqual(accountError(refused), { name: "SpendLimitExceeded", args: [0n, 1n] });
});

await check("a revoked session is refused", async () => {
  await owner.act([{ to: account.address, data: encodeFunctionData({ abi: abi.account, functionName: "revokeSession", args: [id] }) }]);
  const calls = [callJobs(session, "cancelJob", [jobId])];
  const refused = await user.refused(calls);
  assert.deepEqual([refused.code, accountError(refused)], [-32500, { name: "SessionIsRevoked", args: [id] }]);
  const again = await (await sessionActor({ ownerSignature })).refused(calls);
  assert.deepEqual(accountError(again), { name: "SessionIsRevoked", args: [id] });
});
