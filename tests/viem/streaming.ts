// Two streaming sessions of 200 messages each: one that the host ends with the last voucher, one that the user ends with the
// host's consent. Four operations in all, however long the conversations.
import assert from "node:assert/strict";
import { type Hex, type Log, type PublicClient, createWalletClient, decodeEventLog, encodeFunctionData, formatUnits, http, isAddressEqual, parseUnits } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { abi } from "./src/abi.js";
import type { actor } from "./src/actor.js";
import type { Session } from "./src/session.js";
import { Host, Payer, closeAgreement, converse, quote } from "./src/stream.js";

const MESSAGES = 200;
const PRICE_PER_MILLION = parseUnits("30", 6);
const DEPOSIT = parseUnits("2", 6);

type Actor = Awaited<ReturnType<typeof actor>>;

export async function streaming(session: Session, client: PublicClient, user: Actor, host: Actor) {
  const { deployment } = session;
  const faucet = createWalletClient({ chain: client.chain!, transport: http(session.nodeUrl), account: privateKeyToAccount(session.faucetKey) });
  const minted = await faucet.writeContract({ address: deployment.token, abi: abi.token, functionName: "mint", args: [user.address, 2n * DEPOSIT] });
  await client.waitForTransactionReceipt({ hash: minted });

  const creditOf = async (account: Hex) =>
    (await client.readContract({ address: deployment.paymentEscrow, abi: abi.escrow, functionName: "creditOf", args: [account, deployment.token] })) as bigint;
  // A deposit is taken from credit first: what counts is both together.
  const worth = async (account: Hex) =>
    ((await client.readContract({ address: deployment.token, abi: abi.token, functionName: "balanceOf", args: [account] })) as bigint) + (await creditOf(account));
  const call = (functionName: string, args: unknown[]) => [
    { to: deployment.sessionMarketplace, data: encodeFunctionData({ abi: abi.sessions, functionName, args }) },
  ];
  const offer = await quote(deployment, host, deployment.models[session.host.model]!, PRICE_PER_MILLION);

  for (const endedBy of ["host", "user"] as const) {
    const [hostBefore, userBefore] = [await worth(host.address), await worth(user.address)];
    // A key of this conversation alone: all that it can do is to owe what was deposited.
    const voucherKey = privateKeyToAccount(generatePrivateKey());
    const opened = await user.act("user opens a streaming session", [
      { to: deployment.token, data: encodeFunctionData({ abi: abi.token, functionName: "approve", args: [deployment.paymentEscrow, DEPOSIT] }) },
      ...call("openSession", [offer.quote, offer.signature, DEPOSIT, voucherKey.address]),
    ]);
    const sessionId = openedSession(opened.logs, deployment.sessionMarketplace);

    const last = await converse(new Host(deployment, voucherKey.address, PRICE_PER_MILLION), new Payer(deployment, voucherKey, PRICE_PER_MILLION, sessionId), MESSAGES);
    const owed = last.voucher.cumulativeAmount;
    console.log(`${MESSAGES} messages, ${last.voucher.tokens} tokens, ${formatUnits(owed, 6)} test USDC owed; no transaction`);

    if (endedBy === "host") {
      await host.act("host ends the session with the last voucher", call("closeByHost", [last.voucher, last.signature]));
    } else {
      const validUntil = BigInt(Math.floor(Date.now() / 1000) + 600);
      const consent = await closeAgreement(deployment, host, sessionId, owed, validUntil);
      await user.act("user ends the session with the host's consent", call("closeWithHost", [sessionId, owed, validUntil, consent]));
    }
    const { feeBps } = (await client.readContract({ address: deployment.sessionMarketplace, abi: abi.sessions, functionName: "sessionOf", args: [sessionId] })) as { feeBps: number };
    const earned = (await worth(host.address)) - hostBefore;
    const spent = userBefore - (await worth(user.address));
    assert.equal(earned, owed - (owed * BigInt(feeBps)) / 10_000n, "the host earns what was vouched for, less the fee");
    assert.equal(spent, owed, "the user pays that and gets the rest of the deposit back");
    console.log(`ended by the ${endedBy}: the host earned ${formatUnits(earned, 6)} test USDC, the user paid ${formatUnits(spent, 6)} of ${formatUnits(DEPOSIT, 6)}`);
  }
  assert.equal(await client.getBalance({ address: user.address }), 0n, "the user never held ETH");
}

function openedSession(logs: Log[], marketplace: Hex): Hex {
  for (const log of logs.filter((log) => isAddressEqual(log.address, marketplace))) {
    const event = decodeEventLog({ abi: abi.sessions, ...log });
    if (event.eventName === "SessionOpened") return (event.args as unknown as { sessionId: Hex }).sessionId;
  }
  throw new Error("no SessionOpened event");
}
