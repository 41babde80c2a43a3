// viem's own clients and accounts.
import { http } from "viem";
import {
  createBundlerClient, createPaymasterClient, toCoinbaseSmartAccount, toSimple7702SmartAccount, toSoladySmartAccount,
} from "viem/account-abstraction";
import { row } from "../table.mjs";
import { chain, client, deployed, newOwner } from "../world.mjs";
import { coinbaseWallet } from "../accounts/coinbase.mjs";
import { fabstir } from "../accounts/fabstir.mjs";
import { viemClient } from "./common.mjs";

const { solady, simple } = deployed();

for (const version of ["v0.7", "v0.8", "v0.9"]) {
  const account = await fabstir(version, newOwner());
  await row("viem", `Fabstir ${version}`, { entryPoint: version, address: account.address, open: viemClient(account) });
}

const of7702 = newOwner();
const delegated = await toSimple7702SmartAccount({ client, owner: of7702, implementation: simple.v08_7702 });
await row("viem", "Simple7702", { entryPoint: "v0.8", address: delegated.address, open: viemClient(delegated, { delegate: of7702, to: simple.v08_7702 }) });

const ofSolady = await toSoladySmartAccount({ client, owner: newOwner(), factoryAddress: solady.factory });
await row("viem", "Solady", { entryPoint: "v0.7", address: ofSolady.address, open: viemClient(ofSolady) });

const key = newOwner();
const coinbase = await toCoinbaseSmartAccount({ client, owners: [key], version: "1.1", address: await coinbaseWallet(key.address) });
await row("viem", "Coinbase's formats", {
  entryPoint: "v0.6", address: coinbase.address, open: viemClient(coinbase),
  skip: { create: "no registry has Coinbase Smart Wallet compiled: a contract that reads its formats stands there already" },
});
