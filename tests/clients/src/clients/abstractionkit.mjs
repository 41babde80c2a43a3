// Candide's abstractionkit, its paymaster client ours.
import { CandidePaymaster, SafeAccountV0_3_0, Simple7702Account, createAndSignEip7702DelegationAuthorization } from "abstractionkit";
import { privateKeyToAccount } from "viem/accounts";
import { row } from "../table.mjs";
import { chain, client, newKey, paymasterUrl, rpcUrl } from "../world.mjs";

const chainId = BigInt(chain.id);

function open(account, sign, overrides = async () => ({})) {
  return (sponsor) => ({
    async send(calls) {
      let operation = await account.createUserOperation(calls, rpcUrl, rpcUrl, await overrides());
      if (sponsor) [operation] = await new CandidePaymaster(paymasterUrl[sponsor]).createSponsorPaymasterUserOperation(account, operation, rpcUrl);
      operation.signature = sign(operation);
      return (await account.sendUserOperation(operation, rpcUrl)).userOperationHash;
    },
  });
}

const key = newKey();
const safe = SafeAccountV0_3_0.initializeNewAccount([privateKeyToAccount(key).address]);
await row("abstractionkit", "Safe", {
  entryPoint: "v0.7", address: safe.accountAddress, open: open(safe, (operation) => safe.signUserOperation(operation, [key], chainId)),
});

const eoaKey = newKey();
const eoa = privateKeyToAccount(eoaKey);
const simple = new Simple7702Account(eoa.address);
const delegating = async () => {
  if (await client.getCode({ address: eoa.address })) return {};
  const signed = createAndSignEip7702DelegationAuthorization(chainId, Simple7702Account.DEFAULT_DELEGATEE_ADDRESS, 0n, eoaKey);
  return { eip7702Auth: { ...signed, chainId, nonce: 0n } };
};
await row("abstractionkit", "Simple7702", {
  entryPoint: "v0.8", address: eoa.address, open: open(simple, (operation) => simple.signUserOperation(operation, eoaKey, chainId), delegating),
});
