// The payer's side of a conversation: vouchers for what was received, signed by the service within the permission.
import { type Hex, decodeEventLog, encodeFunctionData, encodePacked, isAddressEqual, keccak256, stringToHex } from "viem";
import { sessionsAbi, tokenAbi } from "./abi.js";
import { type Consent, PRICE_UNIT, type SignedQuote, type SignedVoucher, type Voucher } from "./marketplace.js";
import type { Permission, Receipt } from "./session.js";

export class Chat {
  private constructor(private readonly permission: Permission, private readonly price: bigint, private voucher: Voucher) {}

  static async open(permission: Permission, { quote, signature }: SignedQuote, deposit: bigint): Promise<Chat> {
    const { deployment, account } = permission;
    const { token, paymentEscrow, sessionMarketplace } = deployment;
    const approve = encodeFunctionData({ abi: tokenAbi, functionName: "approve", args: [paymentEscrow, deposit] });
    // The account itself signs the vouchers: the permission caps them.
    const open = encodeFunctionData({ abi: sessionsAbi, functionName: "openSession", args: [quote, signature, deposit, account] });
    const sent = await permission.sendCalls([{ to: token, data: approve }, { to: sessionMarketplace, data: open }]);
    const { logs } = await permission.waitForCalls(sent);
    for (const log of logs.filter((log) => isAddressEqual(log.address, sessionMarketplace))) {
      const event = decodeEventLog({ abi: sessionsAbi, ...log });
      const none = { cumulativeAmount: 0n, tokens: 0n, transcriptRoot: keccak256("0x") };
      if (event.eventName === "SessionOpened") return new Chat(permission, quote.pricePerMillion, { sessionId: event.args.sessionId, ...none });
    }
    throw new Error("the marketplace opened no session");
  }

  get sessionId(): Hex {
    return this.voucher.sessionId;
  }

  /** Base units owed so far. */
  get owed(): bigint {
    return this.voucher.cumulativeAmount;
  }

  /** For a chunk that was read: one more voucher, for all so far. */
  async signVoucher(chunk: { text: string; tokens: bigint }): Promise<SignedVoucher> {
    const tokens = this.voucher.tokens + chunk.tokens;
    const said = encodePacked(["bytes32", "bytes32"], [this.voucher.transcriptRoot, keccak256(stringToHex(chunk.text))]);
    const voucher = { ...this.voucher, tokens, cumulativeAmount: (tokens * this.price) / PRICE_UNIT, transcriptRoot: keccak256(said) };
    const asked = { permissionContext: this.permission.context, voucher };
    const { signature } = await this.permission.ask<{ signature: Hex }>("fabstir_signVoucher", asked);
    this.voucher = voucher;
    return { voucher, signature };
  }

  /** Ends it: with the host's consent at once, without it after the host's grace. */
  async close(consent?: Consent): Promise<Receipt> {
    const data = consent
      ? encodeFunctionData({ abi: sessionsAbi, functionName: "closeWithHost", args: [this.sessionId, consent.finalAmount, consent.validUntil, consent.signature] })
      : encodeFunctionData({ abi: sessionsAbi, functionName: "startClose", args: [this.sessionId] });
    return this.permission.waitForCalls(await this.permission.sendCalls([{ to: this.permission.deployment.sessionMarketplace, data }]));
  }
}
