// MetaMask's smart accounts kit: its accounts in viem's bundler client.
import { Implementation, toMetaMaskSmartAccount } from "@metamask/smart-accounts-kit";
import { row } from "../table.mjs";
import { chain, client, deployed, deployment, fund, newOwner, transact } from "../world.mjs";
import { viemClient } from "./common.mjs";

const { deleGator } = deployed();
const environment = {
  DelegationManager: deleGator.manager,
  EntryPoint: deployment.entryPoints["v0.7"],
  SimpleFactory: deleGator.factory,
  implementations: { HybridDeleGatorImpl: deleGator.hybrid, EIP7702StatelessDeleGatorImpl: deleGator.stateless },
  caveatEnforcers: {},
};

const owner = newOwner();
const hybrid = await toMetaMaskSmartAccount({
  client, environment, implementation: Implementation.Hybrid, deployParams: [owner.address, [], [], []], deploySalt: "0x", signer: { account: owner },
});
await row("MetaMask kit", "Hybrid DeleGator", {
  entryPoint: "v0.7", address: hybrid.address, open: viemClient(hybrid),
  refused: { create: ["OP-080", "its SimpleFactory asks for its own balance, and has no stake: ERC-7562, OP-080 allows BALANCE and SELFBALANCE to staked entities alone"] },
  async create() {
    const { factory, factoryData } = await hybrid.getFactoryArgs();
    await transact({ to: factory, data: factoryData });
  },
});

const eoa = newOwner();
const stateless = await toMetaMaskSmartAccount({
  client, environment, implementation: Implementation.Stateless7702, address: eoa.address, signer: { account: eoa },
});
await row("MetaMask kit", "7702 DeleGator", {
  entryPoint: "v0.7", address: eoa.address, open: viemClient(stateless),
  skip: { create: "the kit cannot: asked for the factory that EIP-7702 operations name, its account throws; its documentation delegates by a transaction of the EOA's" },
  async create() {
    const nonce = await client.getTransactionCount({ address: eoa.address });
    const authorization = await eoa.signAuthorization({ address: deleGator.stateless, chainId: chain.id, nonce });
    await transact({ to: eoa.address, authorizationList: [authorization] });
    await fund(eoa.address);
  },
});
