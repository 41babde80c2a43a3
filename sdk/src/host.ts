// The host's side: quotes, and conversations that go on only while they are paid for.
import { type Address, type Hex, type PublicClient, encodeFunctionData, isAddressEqual, zeroAddress } from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import { sessionsAbi } from "./abi.js";
import type { SponsoredClient } from "./account.js";
import { type Consent, type Deployment, PRICE_UNIT, type Quote, type SignedQuote, type SignedVoucher, hostTypes, sessionDomain } from "./marketplace.js";

/** What a host offers to anybody, and its signature under it. */
export async function signQuote(deployment: Deployment, account: SmartAccount, offer: { modelId: Hex; pricePerMillion: bigint; maxDeposit: bigint }): Promise<SignedQuote> {
  const quote: Quote = {
    host: account.address,
    payer: zeroAddress,
    token: deployment.token,
    minDeposit: 1n,
    duration: 3600,
    validUntil: Math.floor(Date.now() / 1000) + 3600,
    ...offer,
  };
  const types = { SessionQuote: hostTypes.SessionQuote };
  const signature = await account.signTypedData({ domain: sessionDomain(deployment), types, primaryType: "SessionQuote", message: quote });
  return { quote, signature };
}

/** The host's consent to end a conversation at this amount. */
export async function consentTo(deployment: Deployment, account: SmartAccount, sessionId: Hex, finalAmount: bigint): Promise<Consent> {
  const validUntil = BigInt(Math.floor(Date.now() / 1000) + 600);
  const types = { CloseAgreement: hostTypes.CloseAgreement };
  const message = { sessionId, finalAmount, validUntil };
  const signature = await account.signTypedData({ domain: sessionDomain(deployment), types, primaryType: "CloseAgreement", message });
  return { finalAmount, validUntil, signature };
}

/** One conversation: how much was served, and how much of it is vouched for. */
export class HostChat {
  best: SignedVoucher | undefined;
  private served = 0n;

  private constructor(
    private readonly client: PublicClient,
    private readonly deployment: Deployment,
    readonly sessionId: Hex,
    private readonly price: bigint,
    private readonly deposit: bigint,
    private readonly settled: bigint,
  ) {}

  /** A conversation that a payer opened with this host. */
  static async of(client: PublicClient, deployment: Deployment, host: Address, sessionId: Hex): Promise<HostChat> {
    const address = deployment.sessionMarketplace;
    const session = await client.readContract({ address, abi: sessionsAbi, functionName: "sessionOf", args: [sessionId] });
    if (!isAddressEqual(session.host, host)) throw new Error("the session is another host's");
    if (session.status !== 1) throw new Error("the session is not open");
    return new HostChat(client, deployment, sessionId, session.pricePerMillion, session.deposit, session.settled);
  }

  /** Whether everything served so far is vouched for, and one chunk more would fit into the deposit. */
  maySend(tokens: bigint): boolean {
    const vouched = this.best?.voucher.tokens ?? 0n;
    return vouched === this.served && this.owedFor(this.served + tokens) <= this.deposit;
  }

  sent(tokens: bigint): void {
    this.served += tokens;
  }

  private owedFor(tokens: bigint): bigint {
    return (tokens * this.price) / PRICE_UNIT;
  }

  /** Takes a voucher for all that was served, or throws. The chain says whether it would pay, and how much. */
  async accept(signed: SignedVoucher): Promise<void> {
    const { voucher, signature } = signed;
    if (voucher.sessionId !== this.sessionId) throw new Error("the voucher is of another session");
    if (voucher.tokens !== this.served) throw new Error(`the voucher is for ${voucher.tokens} tokens, ${this.served} were served`);
    if (voucher.cumulativeAmount !== this.owedFor(this.served)) throw new Error("the voucher is not at the session's price");
    if (this.best && voucher.cumulativeAmount < this.best.voucher.cumulativeAmount) throw new Error("the voucher goes backwards");
    const address = this.deployment.sessionMarketplace;
    const { result } = await this.client.simulateContract({ address, abi: sessionsAbi, functionName: "settle", args: [voucher, signature] }).catch(() => {
      throw new Error("the voucher's signature is not the payer's");
    });
    if (result < voucher.cumulativeAmount - this.settled) throw new Error("the voucher would not be paid in full");
    this.best = signed;
  }

  /** Ends the conversation with the last voucher, by a gasless operation of the host's account. */
  async settle(host: SponsoredClient) {
    if (!this.best) throw new Error("nothing was vouched for");
    const { voucher, signature } = this.best;
    const data = encodeFunctionData({ abi: sessionsAbi, functionName: "closeByHost", args: [voucher, signature] });
    return host.act([{ to: this.deployment.sessionMarketplace, data }]);
  }
}
