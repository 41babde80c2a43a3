// A key that acts within limits: made by the service, granted by an owner, used with a token.
import {
  type Address, type Hex, type LocalAccount, type PublicClient, type TypedDataDefinition, hashStruct, isAddressEqual, numberToHex,
} from "viem";
import type { SmartAccount } from "viem/account-abstraction";
import { Chat } from "./chat.js";
import type { Deployment, SignedQuote } from "./marketplace.js";
import { request } from "./rpc.js";

/** A new session key at the service. The token alone may use it: keep it as you would keep a key. */
export interface NewSession {
  /** What stands for the key in a request. */
  to: Address;
  publicKey: Hex;
  token: string;
}

export interface PermissionKind {
  type: string;
  isAdjustmentAllowed: boolean;
  data: Record<string, unknown>;
}

export interface GrantParameters {
  session: NewSession;
  /** The account, deployed or not. */
  account: SmartAccount;
  /** An owner of it, who is asked to sign. */
  owner: LocalAccount;
  permission: PermissionKind;
  /** Unix seconds; by default the longest that the service grants. */
  expiry?: number;
  /** The session whose place it takes; both act until that one is revoked. */
  replaces?: Permission;
  /** Shown what is allowed, in words, before the owner signs; throws to refuse. */
  confirm?: (summary: string) => void | Promise<void>;
}

export interface MarketplaceLimits {
  /** Base units of the marketplace's token. */
  perDay: bigint;
  total?: bigint;
  /** Most that one conversation may cost; without it none can be opened. */
  maxVoucher?: bigint;
  /** Most that may be vouched for in a minute. */
  vouchersPerMinute?: bigint;
  /** Whether jobs may be posted; by default they may. Every operation carries all that is allowed: less is cheaper. */
  jobs?: boolean;
}

/** Jobs and conversations on the marketplace. */
export function marketplacePermission(limits: MarketplaceLimits): PermissionKind {
  const { perDay, total, maxVoucher, vouchersPerMinute, jobs = true } = limits;
  const data = { periodAmount: perDay, periodDuration: 86_400, totalAmount: total, maxVoucher, vouchersPerMinute, jobs };
  return { type: "fabstir-marketplace", isAdjustmentAllowed: true, data };
}

/** So much of a token a period, to anybody (ERC-7715's own). */
export function tokenPermission(tokenAddress: Address, periodAmount: bigint, periodDuration: number): PermissionKind {
  return { type: "erc20-token-periodic", isAdjustmentAllowed: true, data: { tokenAddress, periodAmount, periodDuration } };
}

/** An answer of `wallet_requestExecutionPermissions`. */
export interface Granted {
  context: Hex;
  from: Address;
  summary: string;
  status: string;
  typedData?: { domain: { chainId: number; verifyingContract: Address }; types: Record<string, unknown>; primaryType: "Session"; message: unknown };
}

export interface Call {
  to: Address;
  data?: Hex;
  value?: bigint;
}

export interface Receipt {
  status: Hex;
  transactionHash: Hex;
  blockNumber: Hex;
  gasUsed: Hex;
  logs: { address: Address; topics: [Hex, ...Hex[]]; data: Hex }[];
}

/** For `client.extend`: the verbs of sessions, at the service of this URL. */
export function fabstirActions({ url, deployment }: { url: string; deployment: Deployment }) {
  return (_client: PublicClient) => ({
    /** A new key, in the service; with the token of another session if it is to be used with that. */
    async createSession(options: { curve?: "secp256k1" | "p256"; token?: string } = {}): Promise<NewSession> {
      const { curve = "secp256k1", token } = options;
      const made = await request<Partial<NewSession>>(url, token, "fabstir_createSession", [{ curve }]);
      return { token, ...made } as NewSession;
    },

    /** Asks for a permission, has the owner sign it, and hands the signature in. */
    async grant({ session, account, owner, permission, expiry, replaces, confirm }: GrantParameters): Promise<Permission> {
      const { factory, factoryData } = await account.getFactoryArgs();
      const asked = {
        chainId: numberToHex(deployment.chainId),
        from: account.address,
        to: session.to,
        permission,
        rules: expiry ? [{ type: "expiry", data: { timestamp: expiry } }] : [],
        dependencies: factory ? [{ factory, factoryData }] : [],
        replaces: replaces?.context,
      };
      const [granted] = await request<Granted[]>(url, session.token, "wallet_requestExecutionPermissions", [asked]);
      const typedData = granted?.typedData;
      if (!granted || !typedData) throw new Error("the service answered without what is to be signed");
      // What is signed is what the context names, for this account and nowhere else.
      const { domain, types, message } = typedData;
      const id = hashStruct({ types, primaryType: "Session", data: message } as unknown as Parameters<typeof hashStruct>[0]);
      if (id !== granted.context || domain.chainId !== deployment.chainId || !isAddressEqual(domain.verifyingContract, account.address)) {
        throw new Error("the service asks for another signature than it says");
      }
      await confirm?.(granted.summary);
      const signature = await owner.signTypedData!(typedData as unknown as TypedDataDefinition);
      await request(url, session.token, "fabstir_grantPermission", [{ permissionContext: granted.context, signature }]);
      return new Permission(url, session.token, deployment, account.address, granted.context, granted.summary);
    },

    /** A permission of before, by what was kept of it. */
    permission(kept: { token: string; account: Address; context: Hex }): Permission {
      return new Permission(url, kept.token, deployment, kept.account, kept.context, "");
    },
  });
}

/** A granted permission, and all that can be done within it. */
export class Permission {
  constructor(
    private readonly url: string,
    readonly token: string,
    readonly deployment: Deployment,
    readonly account: Address,
    readonly context: Hex,
    /** What it allows, in words. */
    readonly summary: string,
  ) {}

  ask<T>(method: string, ...params: unknown[]): Promise<T> {
    return request<T>(this.url, this.token, method, params);
  }

  /** Sends calls as one sponsored operation (EIP-5792); the batch's id. */
  async sendCalls(calls: Call[]): Promise<{ id: string }> {
    const capabilities = { permissions: { context: this.context } };
    return this.ask("wallet_sendCalls", { version: "2.0.0", from: this.account, atomicRequired: true, calls, capabilities });
  }

  /** Waits until a batch is mined; its receipt. */
  async waitForCalls({ id }: { id: string }, timeout = 60_000): Promise<Receipt> {
    const end = Date.now() + timeout;
    for (;;) {
      const { status, receipts } = await this.ask<{ status: number; receipts: Receipt[] | null }>("wallet_getCallsStatus", id);
      if (status === 200) return receipts![0]!;
      if (status !== 100) throw new Error(`batch ${id} was not done: status ${status}`);
      if (Date.now() > end) throw new Error(`batch ${id} is not mined yet`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Opens a conversation under a host's quote: deposits so much, and waits until it is open. */
  openChatSession(offer: SignedQuote, deposit: bigint): Promise<Chat> {
    return Chat.open(this, offer, deposit);
  }

  /** Stops all signing at once; the call that the account's owner then sends, so that the chain knows it too. */
  async revoke(): Promise<{ to: Address; data: Hex }> {
    const { onChain } = await this.ask<{ onChain: { to: Address; data: Hex } }>("wallet_revokeExecutionPermission", { permissionContext: this.context });
    return onChain;
  }
}
