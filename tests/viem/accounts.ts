import { http, parseUnits } from "viem";
import { createBundlerClient, createPaymasterClient } from "viem/account-abstraction";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { build08, toFabstirAccount } from "./src/account/account.js";
import { passkeyOwner, softwarePasskey } from "./src/account/passkey.js";
import { enableSession, marketplacePolicy, newSession, toSessionAccount } from "./src/account/sessions.js";
import { publicClient } from "./src/actor.js";
import { approve } from "./src/jobs.js";
import { readSession } from "./src/session.js";

const dev = readSession();
const { deployment } = dev;
const build = build08(deployment);
const client = publicClient(dev);
const transport = http(dev.rpcUrl);

// A passkey owns the account. In a browser it is `navigator.credentials` that signs.
const passkey = passkeyOwner(await softwarePasskey("https://app.example"));
const account = await toFabstirAccount(client, build, passkey);

// A key of the app's may spend 5 USDC a day on jobs, for a week; the user agrees once.
const key = privateKeyToAccount(generatePrivateKey());
const rules = marketplacePolicy(deployment, parseUnits("5", 6), parseUnits("20", 6));
const session = newSession(key.address, deployment.paymasters["v0.8"]!, 7, rules);
const ownerSignature = await enableSession(deployment.chainId, account.address, session, passkey);

// The first operation creates the account and enables the session. Nobody needs ETH.
const use = { session, key, ownerSignature, factoryArgs: await account.getFactoryArgs() };
const agent = await toSessionAccount(client, build, account.address, use);
const paymaster = createPaymasterClient({ transport });
const bundler = createBundlerClient({ account: agent, client, transport, paymaster });
const hash = await bundler.sendUserOperation({ calls: [approve(dev, parseUnits("5", 6))] });
const { success } = await bundler.waitForUserOperationReceipt({ hash });
console.log(`success: ${success}`);
