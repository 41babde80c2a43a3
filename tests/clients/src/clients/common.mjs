// viem's bundler client on an account: what several libraries ask their users to make themselves.
import { http } from "viem";
import { createBundlerClient, createPaymasterClient } from "viem/account-abstraction";
import { chain, client, paymasterUrl, rpcUrl } from "../world.mjs";

/** For `row`; an EOA's first operation brings its delegation along. */
export const viemClient = (account, delegation) => (sponsor) => {
  const paymaster = sponsor ? { paymaster: createPaymasterClient({ transport: http(paymasterUrl[sponsor]) }) } : {};
  const bundler = createBundlerClient({ account, client, chain, transport: http(rpcUrl), ...paymaster });
  return { send: async (calls) => bundler.sendUserOperation({ calls, ...(await authorization(delegation)) }) };
};

async function authorization(delegation) {
  if (!delegation || (await client.getCode({ address: delegation.delegate.address }))) return {};
  const { delegate, to: address } = delegation;
  const nonce = await client.getTransactionCount({ address: delegate.address });
  return { authorization: await delegate.signAuthorization({ address, chainId: chain.id, nonce }) };
}
