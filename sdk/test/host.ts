// What a host serves, and what it does not, against a payer who tries not to pay.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createPublicClient, createWalletClient, defineChain, http, parseAbi, parseUnits } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import {
  type SignedQuote, type SignedVoucher, HostChat, ServiceError, fabstirActions, marketplacePermission, sessionDomain, toFabstirAccount,
  voucherTypes,
} from "../src/index.js";
import { type Answer, askHost, startHost } from "../examples/host.js";

const dev = JSON.parse(readFileSync(process.env["FABSTIR_DEV"]!, "utf8"));
const { deployment, rpcUrl: url } = dev;
const chain = defineChain({
  id: deployment.chainId, name: "local", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [dev.nodeUrl] } },
});
const client = createPublicClient({ chain, transport: http(), pollingInterval: 50 }).extend(fabstirActions({ url, deployment }));
const wallet = privateKeyToAccount(dev.host.key);
const price = parseUnits("30", 6);
const host = await startHost({ client, url, deployment, wallet, model: dev.host.model, pricePerMillion: price });
const hostAccount = await toFabstirAccount(client, deployment, wallet);

const owner = privateKeyToAccount(generatePrivateKey());
const account = await toFabstirAccount(client, deployment, owner);
const faucet = createWalletClient({ chain, transport: http(), account: privateKeyToAccount(dev.faucetKey) });
const abi = parseAbi(["function mint(address to, uint256 amount)", "function creditOf(address account, address token) view returns (uint256)"]);
const hash = await faucet.writeContract({ address: deployment.token, abi, functionName: "mint", args: [account.address, parseUnits("5", 6)] });
await client.waitForTransactionReceipt({ hash });

const session = await client.createSession({ curve: "p256" });
const permission = await client.grant({
  session, account, owner,
  // Little more than the first chunks: 40 and 33 tokens are 1,200 and 990 base units.
  permission: marketplacePermission({ perDay: parseUnits("2", 6), maxVoucher: 4_000n }),
});
const offer = await askHost<SignedQuote>(host.url, "/quote");
const chat = await permission.openChatSession(offer, parseUnits("1", 6));
const { sessionId } = chat;

async function check(what: string, work: () => Promise<void>) {
  await work();
  console.log(`holds: ${what}`);
}
const chunk = (voucher?: SignedVoucher) => askHost<Answer>(host.url, "/chunk", { sessionId, voucher });
const refused = (error: RegExp) => (given: Error) => error.test(given.message);
let paid: SignedVoucher;
let answer: Answer;

await check("a conversation that nobody opened is not served", async () => {
  const other = `0x${"01".repeat(32)}`;
  await assert.rejects(askHost(host.url, "/chat", { sessionId: other, prompt: "hello" }), refused(/^400/));
});

await check("one chunk is served on credit, and none after it unpaid", async () => {
  answer = await askHost<Answer>(host.url, "/chat", { sessionId, prompt: "why is the sky blue today" });
  assert.equal(answer.chunk!.tokens, 40n);
  await assert.rejects(chunk(), refused(/^402 no voucher/));
  await assert.rejects(askHost(host.url, "/chat", { sessionId, prompt: "again" }), refused(/^400/));
});

await check("a voucher for less, by another key, or of another conversation pays for nothing", async () => {
  paid = await chat.signVoucher(answer.chunk!);
  const { voucher, signature } = paid;
  const thief = privateKeyToAccount(generatePrivateKey());
  const forged = await thief.signTypedData({ domain: sessionDomain(deployment), types: voucherTypes, primaryType: "Voucher", message: voucher });
  await assert.rejects(chunk({ voucher: { ...voucher, cumulativeAmount: 1n }, signature }), refused(/^402 .*price/));
  await assert.rejects(chunk({ voucher: { ...voucher, tokens: 1n }, signature }), refused(/^402 .*tokens/));
  await assert.rejects(chunk({ voucher, signature: forged }), refused(/^402 .*signature/));
  await assert.rejects(chunk({ voucher: { ...voucher, sessionId: `0x${"01".repeat(32)}` }, signature }), refused(/^402 .*another session/));
});

await check("a good voucher pays for the next chunk, once", async () => {
  answer = await chunk(paid);
  assert.ok(answer.chunk);
  await assert.rejects(chunk(paid), refused(/^402 .*served/));
});

await check("the service signs no voucher above the permission", async () => {
  while (answer.chunk) {
    try {
      paid = await chat.signVoucher(answer.chunk);
    } catch (error) {
      assert.ok(error instanceof ServiceError && error.code === -32050, String(error));
      assert.match(error.message, /4000 is the most/);
      assert.ok(paid.voucher.cumulativeAmount <= 4_000n);
      return;
    }
    answer = await chunk(paid);
  }
  assert.fail("more than the permission was vouched for");
});

await check("the host settles the last good voucher by a gasless operation, and loses the one unpaid chunk", async () => {
  const credit = () => client.readContract({ address: deployment.paymentEscrow, abi, functionName: "creditOf", args: [hostAccount.address, deployment.token] });
  const before = await credit();
  await askHost(host.url, "/settle", { sessionId });
  const earned = (await credit()) - before;
  const owed = paid.voucher.cumulativeAmount;
  assert.ok(earned > 0n && earned <= owed, `${earned} of ${owed}`);
  assert.equal(earned, owed - (owed * 250n) / 10_000n, "what was vouched for, less the fee of 2.5 %");
  assert.equal(await client.getBalance({ address: hostAccount.address }), 0n, "the host never held ETH");
  await assert.rejects(HostChat.of(client, deployment, hostAccount.address, sessionId), refused(/not open/));
});

await check("a revoked permission signs nothing more", async () => {
  await permission.revoke();
  await assert.rejects(permission.sendCalls([{ to: deployment.token }]), refused(/revoked/));
});
host.server.close();
