// One gasless job, then two conversations: a user with a fresh key and no ETH hires a host's model.
import assert from "node:assert/strict";
import {
  createWalletClient, encodeFunctionData, formatUnits, http, isAddressEqual, keccak256, parseUnits, stringToHex, type Address,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { abi } from "./src/abi.js";
import { actor, publicClient } from "./src/actor.js";
import { approve, callJobs, postJob, postedJobs } from "./src/jobs.js";
import { readSession } from "./src/session.js";
import { streaming } from "./streaming.js";

const session = readSession();
const { deployment } = session;
const client = publicClient(session);
const price = parseUnits("5", 6);

const user = await actor(session, client, generatePrivateKey());
const host = await actor(session, client, session.host.key);
assert.ok(isAddressEqual(host.address, session.host.account), "the host's key owns the registered host");

// The user's ETH balance, watched from first to last.
const balances = new Set<bigint>();
const watchBalance = async () => balances.add(await client.getBalance({ address: user.address }));
await watchBalance();
console.log(`user's account ${user.address} (not deployed yet), host's account ${host.address}`);

const faucet = createWalletClient({ chain: client.chain!, transport: http(session.nodeUrl), account: privateKeyToAccount(session.faucetKey) });
const minted = await faucet.writeContract({ address: deployment.token, abi: abi.token, functionName: "mint", args: [user.address, price] });
const mintReceipt = await client.waitForTransactionReceipt({ hash: minted });
console.log(`faucet gives the user ${formatUnits(price, 6)} test USDC\n    transaction ${minted}\n    gas ${mintReceipt.gasUsed} paid by faucet ${faucet.account.address}`);

const posted = await user.act("user creates the account, approves and posts the job", [
  approve(session, price),
  postJob(session, price, "Why is the sky blue?"),
]);
const [jobId] = postedJobs(posted.logs, deployment.jobMarketplace);
assert.ok(jobId, "the job was posted");
await watchBalance();

await host.act("host claims the job", [callJobs(session, "claimJob", [jobId, price])]);
const answer = "Because air scatters blue light more than red.";
await host.act("host submits its result", [callJobs(session, "submitResult", [jobId, keccak256(stringToHex(answer)), `data:,${encodeURIComponent(answer)}`])]);
await watchBalance();
await user.act("user accepts", [callJobs(session, "acceptResult", [jobId])]);
await watchBalance();

const read = (address: Address, contract: keyof typeof abi, functionName: string, args: unknown[]) =>
  client.readContract({ address, abi: abi[contract], functionName, args });
const credit = (await read(deployment.paymentEscrow, "escrow", "creditOf", [host.address, deployment.token])) as bigint;
const before = (await read(deployment.token, "token", "balanceOf", [host.address])) as bigint;
await host.act("host withdraws its pay", [
  { to: deployment.paymentEscrow, data: encodeFunctionData({ abi: abi.escrow, functionName: "withdraw", args: [deployment.token, host.address, credit] }) },
]);
const payout = ((await read(deployment.token, "token", "balanceOf", [host.address])) as bigint) - before;
await watchBalance();

const { feeBps } = (await read(deployment.jobMarketplace, "jobs", "jobOf", [jobId])) as { feeBps: number };
assert.equal(payout, price - (price * BigInt(feeBps)) / 10_000n, "the host is paid the price less the fee");
assert.deepEqual([...balances], [0n], "the user never held ETH");
assert.equal(await client.getBalance({ address: host.address }), 0n, "nor did the host");
console.log(`host was paid ${formatUnits(payout, 6)} test USDC; the user's ETH balance was ${[...balances][0]} from first to last`);

await streaming(session, client, user, host);
