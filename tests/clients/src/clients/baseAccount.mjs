// The account of Base Account's SDK in viem's client. Its provider needs a browser; tests/viem has its wallet_sendCalls.
import { createSmartAccount } from "../../node_modules/@base-org/account/dist/sign/base-account/utils/createSmartAccount.js";
import { row } from "../table.mjs";
import { client, newOwner } from "../world.mjs";
import { coinbaseWallet } from "../accounts/coinbase.mjs";
import { viemClient } from "./common.mjs";

const owner = newOwner();
const account = await createSmartAccount({ client, owner, ownerIndex: 0, address: await coinbaseWallet(owner.address), factoryData: undefined });
await row("@base-org/account", "Coinbase's formats", {
  entryPoint: "v0.6", address: account.address, open: viemClient(account),
  skip: { create: "no registry has Coinbase Smart Wallet compiled: a contract that reads its formats stands there already" },
});
