// Somebody with a key and no ETH, who acts through a sponsored smart account.
import { type Hex, type PublicClient, createPublicClient, defineChain, formatEther, http } from "viem";
import { createBundlerClient, createPaymasterClient } from "viem/account-abstraction";
import { privateKeyToAccount } from "viem/accounts";
import { build08, toFabstirAccount } from "./account/account.js";
import type { Call } from "./jobs.js";
import type { Session } from "./session.js";

export function publicClient(session: Session): PublicClient {
  const chain = defineChain({
    id: session.deployment.chainId,
    name: "local",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [session.nodeUrl] } },
  });
  return createPublicClient({ chain, transport: http(), pollingInterval: 50 });
}

export async function actor(session: Session, client: PublicClient, key: Hex) {
  const account = await toFabstirAccount(client, build08(session.deployment), privateKeyToAccount(key));
  const bundler = createBundlerClient({
    account,
    client,
    transport: http(session.rpcUrl),
    paymaster: createPaymasterClient({ transport: http(session.rpcUrl) }),
    pollingInterval: 50,
  });

  return {
    address: account.address,
    account,
    bundler,
    /** Makes the calls in one sponsored operation, and says what it took. */
    async act(step: string, calls: Call[]) {
      const hash = await bundler.sendUserOperation({ calls });
      const receipt = await bundler.waitForUserOperationReceipt({ hash, timeout: 60_000 });
      if (!receipt.success) throw new Error(`${step}: operation ${hash} reverted: ${receipt.reason}`);
      const bundleCost = receipt.receipt.gasUsed * receipt.receipt.effectiveGasPrice;
      if (receipt.actualGasCost < bundleCost) throw new Error(`${step}: the bundler lost ${bundleCost - receipt.actualGasCost} wei`);
      const paidBy = receipt.paymaster ? `paymaster ${receipt.paymaster}` : `account ${account.address}`;
      console.log(
        `${step}\n    transaction ${receipt.receipt.transactionHash}\n` +
          `    gas ${receipt.actualGasUsed} (${formatEther(receipt.actualGasCost)} ETH) paid by ${paidBy}`,
      );
      return receipt;
    },
  };
}
