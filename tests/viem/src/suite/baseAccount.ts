// Base Account's SDK with our service as the app's paymaster. What of the SDK runs without a browser is the SDK's own
// code: its account, and the signer of sub-accounts with its wallet_sendCalls. Its provider opens a window of
// Coinbase's for the first connection, and needs one; what it hears from there, we hand to the signer.
import assert from "node:assert/strict";
import { createPublicClient, http, isAddressEqual, numberToHex } from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { createSmartAccount } from "../../node_modules/@base-org/account/dist/sign/base-account/utils/createSmartAccount.js";
import { createSubAccountSigner } from "../../node_modules/@base-org/account/dist/sign/base-account/utils/createSubAccountSigner.js";
import { type Call, approve } from "../jobs.js";
import { check } from "./check.js";
import { coinbaseBackend } from "./coinbaseBackend.js";
import { coinbaseWallet, viem } from "./senders.js";
import { client, deployment, read, session } from "./world.js";

const owner = privateKeyToAccount(generatePrivateKey());
const address = await coinbaseWallet(owner.address);
const allowance = () => read<bigint>(deployment.token, "token", "allowance", [address, deployment.paymentEscrow]);

/** An ERC-5792 request as apps make it, our URL its paymaster. */
const sendCalls = (calls: Call[]) => ({
  method: "wallet_sendCalls",
  params: [
    {
      version: "2.0.0",
      chainId: numberToHex(deployment.chainId),
      from: address,
      calls: calls.map((call) => ({ ...call, value: "0x0" })),
      capabilities: { paymasterService: { url: session.rpcUrl } },
    },
  ],
});

await check("the SDK's account acts in viem's client, sponsored on v0.6", async () => {
  const account = await createSmartAccount({ client, owner, ownerIndex: 0, address, factoryData: undefined });
  const { bundler } = viem("0.6", account as unknown as SmartAccount);
  const hash = await bundler.sendUserOperation({ calls: [approve(session, 1n)] });
  const { success, paymaster } = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
  assert.ok(success && isAddressEqual(paymaster!, deployment.paymasters["v0.6"]!));
  assert.equal(await allowance(), 1n);
});

// Coinbase's own bundler would carry them; here it is ours, and the paymaster cannot tell.
const backend = await coinbaseBackend(client, session.rpcUrl, owner);
const wallet = createPublicClient({ chain: client.chain!, transport: http(backend.url) });
const signer = await createSubAccountSigner({ address, owner, ownerIndex: 0, client: wallet });

await check("wallet_sendCalls with our URL as its paymasterService is sponsored", async () => {
  const id = (await signer.request(sendCalls([approve(session, 2n), approve(session, 3n)]))) as `0x${string}`;
  const { bundler } = viem("0.6", (await createSmartAccount({ client, owner, ownerIndex: 0, address, factoryData: undefined })) as unknown as SmartAccount);
  const { success, paymaster } = await bundler.waitForUserOperationReceipt({ hash: id, timeout: 60_000 });
  assert.ok(success && isAddressEqual(paymaster!, deployment.paymasters["v0.6"]!));
  assert.equal(await allowance(), 3n);
  assert.equal(await client.getBalance({ address }), 0n);
});

await check("a denial reaches whoever called wallet_sendCalls, with its reason", async () => {
  const stranger = "0x9999999999999999999999999999999999999999";
  const error: unknown = await signer.request(sendCalls([{ to: stranger, data: "0x01020304" }])).then(
    () => assert.fail("it was sponsored"),
    (refused: unknown) => refused,
  );
  const { code, message, data } = error as { code: number; message: string; data?: { reason?: string } };
  assert.match(`${message} ${data?.reason}`.toLowerCase(), new RegExp(stranger), String(error));
  assert.equal(code, -32050);
});

backend.close();
