// Session keys: what a session allows, its id, how an owner enables it and how its key signs operations.
import {
  type AbiParameter, type Address, type Hex, type LocalAccount, type PublicClient, type TypedDataDefinition,
  concat, encodeAbiParameters, hashStruct, maxUint32, pad, size, toFunctionSelector, toHex,
} from "viem";
import { type UserOperation, toSmartAccount } from "viem/account-abstraction";
import { abi } from "../abi.js";
import { type Build, implementation, signOperation } from "./account.js";
import { type Owner, ecdsaOwner } from "./owner.js";

/** How an argument is compared; see SessionTypes.sol. */
export const Condition = { OneOf: 0, AtMost: 1, AtLeast: 2, Account: 3 } as const;

export interface ArgumentRule {
  word: number;
  condition: number;
  values: readonly Hex[];
}

export interface CallRule {
  target: Address;
  selector: Hex;
  maxLength: number;
  valueLimit: number;
  amountLimit: number;
  amountWord: number;
  arguments: readonly ArgumentRule[];
}

export interface SpendLimit {
  token: Address;
  perPeriod: bigint;
  total: bigint;
}

export interface VoucherRight {
  domainSeparator: Hex;
  typeHash: Hex;
  amountField: number;
  maxAmount: bigint;
}

/** All that a session key may do; the fields are those of SessionTypes.sol. */
export interface SessionPolicy {
  key: Hex;
  validAfter: number;
  validUntil: number;
  period: number;
  maxUses: number;
  epoch: bigint;
  salt: bigint;
  paymaster: Address;
  gasBudget: bigint;
  limits: readonly SpendLimit[];
  calls: readonly CallRule[];
  vouchers: readonly VoucherRight[];
}

const fields = (list: string) => list.split(",").map((field) => ({ type: field.split(" ")[0]!, name: field.split(" ")[1]! }));

const TYPES = {
  ArgumentRule: fields("uint8 word,uint8 condition,bytes32[] values"),
  CallRule: fields(
    "address target,bytes4 selector,uint32 maxLength,uint8 valueLimit,uint8 amountLimit,uint8 amountWord,ArgumentRule[] arguments",
  ),
  SpendLimit: fields("address token,uint104 perPeriod,uint104 total"),
  VoucherRight: fields("bytes32 domainSeparator,bytes32 typeHash,uint8 amountField,uint256 maxAmount"),
  Session: fields(
    "bytes key,uint48 validAfter,uint48 validUntil,uint48 period,uint32 maxUses,uint64 epoch,uint256 salt,address paymaster,uint128 gasBudget,SpendLimit[] limits,CallRule[] calls,VoucherRight[] vouchers",
  ),
};

/** A session's id: its EIP-712 struct hash. */
export function sessionId(session: SessionPolicy): Hex {
  return hashStruct({ types: TYPES, primaryType: "Session", data: session as unknown as Record<string, unknown> });
}

/** The owner's signature that enables the session with its first operation: the wallet shows all that it allows. */
export function enableSession(chainId: number, account: Address, session: SessionPolicy, owner: Owner | LocalAccount): Promise<Hex> {
  const signer = "bytes" in owner ? owner : ecdsaOwner(owner);
  const domain = { name: "Fabstir SmartAccount", version: "1", chainId, verifyingContract: account };
  return signer.signTypedData({ domain, types: TYPES, primaryType: "Session", message: session } as unknown as TypedDataDefinition);
}

export interface Marketplace {
  token: Address;
  paymentEscrow: Address;
  jobMarketplace: Address;
}

/** Limits and calls of MarketplacePolicy.sol: so much a period, only for jobs, and refunds only to the account. */
export function marketplacePolicy(at: Marketplace, perPeriod: bigint, total: bigint): Pick<SessionPolicy, "limits" | "calls"> {
  const limit = { token: at.token, perPeriod, total };
  const oneOf = (word: number, value: Hex) => ({ word, condition: Condition.OneOf, values: [pad(value, { size: 32 })] });
  const rule = (target: Address, signature: string, maxLength: number, rest: Partial<CallRule> = {}): CallRule => ({
    target, selector: toFunctionSelector(signature), maxLength, valueLimit: 0, amountLimit: 0, amountWord: 0, arguments: [], ...rest,
  });
  const postJob = "postJob((address,address,uint256,bytes32,uint40,bool,bytes32,string))";
  return {
    limits: [limit, limit],
    calls: [
      rule(at.token, "approve(address,uint256)", 68, { amountLimit: 1, amountWord: 1, arguments: [oneOf(0, at.paymentEscrow)] }),
      // The first word says where the job starts, and must say "right here"; an input URI has 512 bytes.
      rule(at.jobMarketplace, postJob, 4 + 10 * 32 + 512, {
        amountLimit: 2, amountWord: 3, arguments: [oneOf(0, "0x20"), oneOf(2, at.token)],
      }),
      rule(at.jobMarketplace, "cancelJob(bytes32)", 36),
      rule(at.jobMarketplace, "acceptResult(bytes32)", 36),
      rule(at.jobMarketplace, "expireJob(bytes32)", 36),
      rule(at.paymentEscrow, "withdraw(address,address,uint256)", 100, {
        arguments: [{ word: 1, condition: Condition.Account, values: [] }],
      }),
    ],
  };
}

/** A session of this key, an address or a P-256 public key, with no limit of uses or gas; spread over it what is to differ. */
export function newSession(key: Hex, paymaster: Address, days: number, rules: Pick<SessionPolicy, "limits" | "calls">): SessionPolicy {
  const day = 86_400;
  const validAfter = Math.floor(Date.now() / 1000) - 60;
  return {
    key: size(key) === 20 ? pad(key, { size: 32 }) : key,
    validAfter,
    validUntil: validAfter + days * day - 1,
    period: day,
    maxUses: Number(maxUint32),
    epoch: 0n,
    salt: BigInt(toHex(crypto.getRandomValues(new Uint8Array(32)))),
    paymaster,
    gasBudget: 0n,
    vouchers: [],
    ...rules,
  };
}

export interface SessionUse {
  session: SessionPolicy;
  key: Owner | LocalAccount;
  /** Until the session is enabled. */
  ownerSignature?: Hex;
  /** Operations of different lanes do not wait for each other. */
  lane?: number;
  /** How the account is created, if it is not yet. */
  factoryArgs?: { factory?: Hex | undefined; factoryData?: Hex | undefined };
}

/** The account as the session's key uses it. */
export async function toSessionAccount(client: PublicClient, build: Build, address: Address, use: SessionUse) {
  const { session, ownerSignature = "0x", lane = 0 } = use;
  const key = "bytes" in use.key ? use.key : ecdsaOwner(use.key);
  const id = sessionId(session);
  const encode = (keySignature: Hex) => concat(["0x02", encodeAbiParameters(signatureType(), [session, ownerSignature, keySignature])]);
  const account = implementation(client, build, address, key);
  return toSmartAccount({
    ...account,
    async getFactoryArgs() {
      return { factory: use.factoryArgs?.factory, factoryData: use.factoryArgs?.factoryData };
    },
    /** The nonce names the session, the period and the lane. */
    async getNonce() {
      const { timestamp } = await client.getBlock();
      const period = session.period ? (timestamp - BigInt(session.validAfter)) / BigInt(session.period) : 0n;
      const args = [address, ((BigInt(id) >> 128n) << 64n) | (period << 16n) | BigInt(lane)] as const;
      return client.readContract({ address: build.entryPoint, abi: account.entryPoint.abi, functionName: "getNonce", args });
    },
    async getStubSignature() {
      return encode(key.stub);
    },
    async signUserOperation(operation) {
      return encode(await signOperation(build, client.chain!.id, { ...operation, sender: address } as UserOperation, key));
    },
  });
}

/** `(Session, bytes ownerSignature, bytes keySignature)`, with the contract's own type of a session. */
function signatureType(): AbiParameter[] {
  const enable = abi.account.find((item) => item.type === "function" && item.name === "enableSession");
  if (enable?.type !== "function") throw new Error("the account has no sessions");
  return [enable.inputs[0]!, { type: "bytes" }, { type: "bytes" }];
}
