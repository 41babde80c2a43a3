// Streaming inference over vouchers: however many messages, two transactions. The payer's session key signs what is owed
// so far after each message; the host checks it before it writes the next.
import assert from "node:assert/strict";
import {
  type Address, type Hex, type LocalAccount, encodePacked, isAddressEqual, keccak256, recoverTypedDataAddress,
  stringToHex, zeroAddress,
} from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import type { Deployment } from "./session.js";

const PRICE_UNIT = 1_000_000n;

const types = {
  SessionQuote: [
    { name: "host", type: "address" },
    { name: "payer", type: "address" },
    { name: "modelId", type: "bytes32" },
    { name: "token", type: "address" },
    { name: "pricePerMillion", type: "uint80" },
    { name: "minDeposit", type: "uint88" },
    { name: "maxDeposit", type: "uint88" },
    { name: "duration", type: "uint32" },
    { name: "validUntil", type: "uint40" },
  ],
  Voucher: [
    { name: "sessionId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint256" },
    { name: "tokens", type: "uint256" },
    { name: "transcriptRoot", type: "bytes32" },
  ],
  CloseAgreement: [
    { name: "sessionId", type: "bytes32" },
    { name: "finalAmount", type: "uint256" },
    { name: "validUntil", type: "uint256" },
  ],
} as const;

export interface Voucher {
  sessionId: Hex;
  cumulativeAmount: bigint;
  tokens: bigint;
  transcriptRoot: Hex;
}

export interface SignedVoucher {
  voucher: Voucher;
  signature: Hex;
}

/** The EIP-712 domain of the SessionMarketplace. */
export function sessionDomain(deployment: Deployment) {
  return {
    name: "Fabstir SessionMarketplace",
    version: "1",
    chainId: deployment.chainId,
    verifyingContract: deployment.sessionMarketplace,
  } as const;
}

/** What a host offers, and its signature under it. */
export async function quote(deployment: Deployment, host: { address: Address; account: SmartAccount }, modelId: Hex, pricePerMillion: bigint) {
  const message = {
    host: host.address,
    payer: zeroAddress,
    modelId,
    token: deployment.token,
    pricePerMillion,
    minDeposit: 1n,
    maxDeposit: 1_000_000_000n,
    duration: 3600,
    validUntil: Math.floor(Date.now() / 1000) + 3600,
  };
  const data = { domain: sessionDomain(deployment), types: { SessionQuote: types.SessionQuote }, primaryType: "SessionQuote", message } as const;
  return { quote: message, signature: await host.account.signTypedData(data) };
}

/** The host's consent to end a session at this amount. */
export async function closeAgreement(deployment: Deployment, host: { address: Address; account: SmartAccount }, sessionId: Hex, finalAmount: bigint, validUntil: bigint) {
  const message = { sessionId, finalAmount, validUntil };
  const data = { domain: sessionDomain(deployment), types: { CloseAgreement: types.CloseAgreement }, primaryType: "CloseAgreement", message } as const;
  return host.account.signTypedData(data);
}

/** The payer's side: signs what it owes. */
export class Payer {
  private voucher: Voucher;

  constructor(private readonly deployment: Deployment, private readonly key: LocalAccount, private readonly price: bigint, sessionId: Hex) {
    this.voucher = { sessionId, cumulativeAmount: 0n, tokens: 0n, transcriptRoot: keccak256("0x") };
  }

  /** After a message that it has read: one more voucher, for all so far. */
  async received(text: string, tokens: bigint): Promise<SignedVoucher> {
    const total = this.voucher.tokens + tokens;
    const transcriptRoot = keccak256(encodePacked(["bytes32", "bytes32"], [this.voucher.transcriptRoot, keccak256(stringToHex(text))]));
    this.voucher = { ...this.voucher, tokens: total, cumulativeAmount: (total * this.price) / PRICE_UNIT, transcriptRoot };
    const signature = await this.key.signTypedData!({
      domain: sessionDomain(this.deployment),
      types: { Voucher: types.Voucher },
      primaryType: "Voucher",
      message: this.voucher,
    });
    return { voucher: this.voucher, signature };
  }
}

/** The host's side: works on only while what it has done is vouched for. */
export class Host {
  best?: SignedVoucher;
  private served = 0n;

  constructor(private readonly deployment: Deployment, private readonly voucherKey: Address, private readonly price: bigint) {}

  /** The next message, and how many tokens it took. */
  message(index: number): { text: string; tokens: bigint } {
    const tokens = BigInt(40 + ((index * 37) % 200));
    this.served += tokens;
    return { text: `message ${index}`, tokens };
  }

  /** Takes a voucher, or refuses to go on. */
  async accept(signed: SignedVoucher) {
    const signer = await recoverTypedDataAddress({
      domain: sessionDomain(this.deployment),
      types: { Voucher: types.Voucher },
      primaryType: "Voucher",
      message: signed.voucher,
      signature: signed.signature,
    });
    assert.ok(isAddressEqual(signer, this.voucherKey), "the voucher is signed by the session's key");
    assert.equal(signed.voucher.tokens, this.served, "it covers what was served");
    assert.equal(signed.voucher.cumulativeAmount, (this.served * this.price) / PRICE_UNIT, "at the quoted price");
    this.best = signed;
  }
}

/** Streams so many messages; the last voucher. */
export async function converse(host: Host, payer: Payer, messages: number): Promise<SignedVoucher> {
  for (let index = 0; index < messages; index++) {
    const { text, tokens } = host.message(index);
    await host.accept(await payer.received(text, tokens));
  }
  return host.best!;
}
