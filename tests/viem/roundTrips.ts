// How long an application waits until its operation is taken: viem's four calls, our two, and our one. The same
// account, call, fees and client for each, one after the other; what each took is printed, in milliseconds.
import { type Hex, http } from "viem";
import { type UserOperation, createBundlerClient, createPaymasterClient, formatUserOperationRequest } from "viem/account-abstraction";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { toFabstirAccount } from "./src/account/account.js";
import { approve } from "./src/jobs.js";
import { as } from "./src/suite/senders.js";
import { buildFor, client, deployment, session } from "./src/suite/world.js";

const count = Number(process.env["FABSTIR_OPERATIONS"] ?? 50);
const WARM_UP = 5;

const account = await toFabstirAccount(client, await buildFor("0.9"), privateKeyToAccount(generatePrivateKey()));
const { factory, factoryData } = await account.getFactoryArgs();
await as(deployment.nodeRegistry, factory!, factoryData!);

const transport = http(session.rpcUrl, { retryCount: 0 });
const bundler = createBundlerClient({ account, chain: client.chain!, client, transport, paymaster: createPaymasterClient({ transport }), pollingInterval: 20 });
const entryPoint = account.entryPoint.address;
const ask = <T>(method: string, params: unknown[]) => bundler.request({ method, params } as never) as Promise<T>;

const calls = [approve(session, 1n)];
const fees = { maxFeePerGas: 3_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n };
type Op = UserOperation<"0.9"> & { paymasterSignature?: Hex };
const signed = async (op: Op) => formatUserOperationRequest({ ...op, signature: await account.signUserOperation(op as never) } as never);

/** Nonce and fees given, so that these four are all: stub, estimate, data, send. */
const four = (nonce: bigint) => bundler.sendUserOperation({ calls, nonce, ...fees });

/** Prepared for on one head, then signed, then sent. */
async function two(nonce: bigint) {
  const callData = await account.encodeCalls(calls);
  const open = formatUserOperationRequest({ sender: account.address, nonce, callData, ...fees, signature: await account.getStubSignature() } as never);
  const { userOperation } = await ask<{ userOperation: Record<string, Hex> }>("fabstir_prepareSponsoredUserOperation", [open, entryPoint]);
  return ask<Hex>("eth_sendUserOperation", [await signed(read(userOperation)), entryPoint]);
}

/** Signed with the limits that an operation of its shape had before, and for a minute; then sponsored and sent. */
async function one(nonce: bigint) {
  const callData = await account.encodeCalls(calls);
  const now = Math.floor(Date.now() / 1000);
  const bounds = [now + 60, now - 60].map((bound) => bound.toString(16).padStart(12, "0")).join("");
  const op = { ...shape, nonce, callData, paymasterData: `0x${bounds}` as Hex, paymasterSignature: `0x${"01".repeat(65)}` as Hex };
  const { paymasterSignature: _, ...request } = (await signed(op)) as Record<string, unknown>;
  return ask<Hex>("fabstir_sponsorAndSend", [request, entryPoint]);
}

/** An operation as JSON has it, with numbers for a client. */
function read(json: Record<string, Hex>): Op {
  const text = new Set(["sender", "callData", "signature", "paymaster", "paymasterData", "factory", "factoryData"]);
  return Object.fromEntries(Object.entries(json).map(([field, value]) => [field, text.has(field) ? value : BigInt(value)])) as unknown as Op;
}

const nonces = (function* () {
  for (let key = 1n; ; key++) yield key << 64n;
})();
const nonce = () => nonces.next().value;

const first = await ask<{ userOperation: Record<string, Hex> }>("fabstir_prepareSponsoredUserOperation", [
  formatUserOperationRequest({ sender: account.address, nonce: nonce(), callData: await account.encodeCalls(calls), ...fees, signature: await account.getStubSignature() } as never),
  entryPoint,
]);
const shape = read(first.userOperation);
// Room for the suffix that says where our signature ends, and for nonces with more bytes.
shape.preVerificationGas += 1_000n;

for (let index = 0; index < count + WARM_UP; index++) {
  const hashes: Hex[] = [];
  for (const [name, send] of Object.entries({ four, two, one })) {
    const key = nonce();
    const start = performance.now();
    hashes.push(await send(key));
    const took = performance.now() - start;
    if (index >= WARM_UP) console.log(`${name} ${took.toFixed(3)}`);
  }
  for (const hash of hashes) {
    const { success, reason } = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
    if (!success) throw new Error(`${hash} reverted: ${reason}`);
  }
}
