// What is signed in the SessionMarketplace's name.
import type { Address, Hex } from "viem";

/** Where the contracts are, as `fabstir deploy` writes it. */
export interface Deployment {
  chainId: number;
  entryPoints: Record<string, Address>;
  smartAccountFactory: Address;
  sessionMarketplace: Address;
  jobMarketplace: Address;
  paymentEscrow: Address;
  token: Address;
  models: Record<string, Hex>;
}

export type Marketplace = Pick<Deployment, "chainId" | "sessionMarketplace" | "paymentEscrow" | "token">;

/** A host's standing offer. */
export interface Quote {
  host: Address;
  payer: Address;
  modelId: Hex;
  token: Address;
  pricePerMillion: bigint;
  minDeposit: bigint;
  maxDeposit: bigint;
  duration: number;
  validUntil: number;
}

export interface SignedQuote {
  quote: Quote;
  signature: Hex;
}

/** What is owed so far. */
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

/** A host's consent to end a conversation at this amount. */
export interface Consent {
  finalAmount: bigint;
  validUntil: bigint;
  signature: Hex;
}

/** LLM tokens that a price is for. */
export const PRICE_UNIT = 1_000_000n;

export const voucherTypes = {
  Voucher: [
    { name: "sessionId", type: "bytes32" },
    { name: "cumulativeAmount", type: "uint256" },
    { name: "tokens", type: "uint256" },
    { name: "transcriptRoot", type: "bytes32" },
  ],
} as const;

export const hostTypes = {
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
  CloseAgreement: [
    { name: "sessionId", type: "bytes32" },
    { name: "finalAmount", type: "uint256" },
    { name: "validUntil", type: "uint256" },
  ],
} as const;

/** The EIP-712 domain of the SessionMarketplace. */
export function sessionDomain(at: Pick<Deployment, "chainId" | "sessionMarketplace">) {
  return { name: "Fabstir SessionMarketplace", version: "1", chainId: at.chainId, verifyingContract: at.sessionMarketplace } as const;
}
