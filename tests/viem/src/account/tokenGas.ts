// Gas paid in a token: what a TokenPaymaster reads, at a price that its signer signs.
import { type Address, type Hex, type LocalAccount, type PublicClient, concat, encodePacked, maxUint256, pad, size, toHex } from "viem";
import type { GetPaymasterDataParameters, GetPaymasterStubDataReturnType, SmartAccount } from "viem/account-abstraction";
import { ECDSA_STUB } from "./owner.js";

export interface TokenPrice {
  token: Address;
  /** Base units for 1 ETH. */
  tokensPerEth: bigint;
  /** Unix seconds. */
  validUntil: number;
  validAfter: number;
}

export interface TokenGas {
  paymaster: Address;
  entryPoint: Address;
  price: TokenPrice;
  /** Most base units that the sender allows for one operation. */
  maxTokens: bigint;
  /** Whose price the paymaster believes; a service, outside of tests. */
  signer: LocalAccount;
  /** What `permit` made, if the paymaster has no allowance yet. */
  permit?: Hex;
}

const field = (type: string, name: string) => ({ type, name });
const TYPES = {
  TokenPaidUserOperation: [
    field("address", "sender"), field("uint256", "nonce"), field("bytes", "initCode"), field("bytes", "callData"),
    field("uint128", "verificationGasLimit"), field("uint128", "callGasLimit"), field("uint256", "preVerificationGas"),
    field("uint128", "maxPriorityFeePerGas"), field("uint128", "maxFeePerGas"),
    field("uint128", "paymasterVerificationGasLimit"), field("uint128", "paymasterPostOpGasLimit"),
    field("uint48", "validUntil"), field("uint48", "validAfter"), field("address", "entryPoint"),
    field("address", "token"), field("uint128", "tokensPerEth"),
  ],
};

/** `0x00 ‖ token ‖ maxTokens ‖ tokensPerEth ‖ validUntil ‖ validAfter ‖ signature ‖ permit` */
export function encodePayment(maxTokens: bigint, price: TokenPrice, signature: Hex, permit: Hex = "0x"): Hex {
  return encodePacked(
    ["uint8", "address", "uint128", "uint128", "uint48", "uint48", "bytes", "bytes"],
    [0, price.token, maxTokens, price.tokensPerEth, price.validUntil, price.validAfter, signature, permit],
  );
}

/** The `paymaster` of a viem bundler client that pays in a token. */
export function tokenGas({ paymaster, entryPoint, price, maxTokens, signer, permit }: TokenGas) {
  return {
    async getPaymasterStubData(): Promise<GetPaymasterStubDataReturnType> {
      // An estimate begins with gas limits that nobody could pay for: at this price they are paid for, and refunded.
      const cheap = { ...price, tokensPerEth: price.tokensPerEth / 1_000n };
      return { paymaster, paymasterData: encodePayment(maxTokens, cheap, ECDSA_STUB, permit) } as GetPaymasterStubDataReturnType;
    },
    async getPaymasterData(op: GetPaymasterDataParameters) {
      const { factory, factoryData } = op as { factory?: Hex; factoryData?: Hex };
      const limits = op as Record<"verificationGasLimit" | "callGasLimit" | "preVerificationGas", bigint | undefined>;
      const message = {
        sender: op.sender!,
        nonce: op.nonce!,
        initCode: factory ? concat([size(factory) < 20 ? pad(factory, { dir: "right", size: 20 }) : factory, factoryData ?? "0x"]) : "0x",
        callData: op.callData,
        verificationGasLimit: limits.verificationGasLimit ?? 0n,
        callGasLimit: limits.callGasLimit ?? 0n,
        preVerificationGas: limits.preVerificationGas ?? 0n,
        maxPriorityFeePerGas: op.maxPriorityFeePerGas ?? 0n,
        maxFeePerGas: op.maxFeePerGas ?? 0n,
        paymasterVerificationGasLimit: op.paymasterVerificationGasLimit ?? 0n,
        paymasterPostOpGasLimit: op.paymasterPostOpGasLimit ?? 0n,
        ...price,
        entryPoint,
      };
      const domain = { name: "Fabstir TokenPaymaster", version: "1", chainId: op.chainId, verifyingContract: paymaster };
      const signature = await signer.signTypedData!({ domain, types: TYPES, primaryType: "TokenPaidUserOperation", message });
      return {
        paymaster,
        paymasterData: encodePayment(maxTokens, price, signature, permit),
        paymasterVerificationGasLimit: message.paymasterVerificationGasLimit,
        paymasterPostOpGasLimit: message.paymasterPostOpGasLimit,
      };
    },
  };
}

/** `value ‖ signature`: the account's permit for the paymaster, for tokens that take contract signatures. */
export async function permit(client: PublicClient, account: SmartAccount, token: Address, paymaster: Address, value: bigint): Promise<Hex> {
  const view = (name: string, type: string, inputs: { type: string }[] = []) =>
    ({ type: "function", stateMutability: "view", name, inputs, outputs: [{ type }] }) as const;
  const read = (name: string, type: string, args: unknown[] = []) =>
    client.readContract({ address: token, abi: [view(name, type, args.map(() => ({ type: "address" })))], functionName: name, args });
  const [name, nonce] = (await Promise.all([read("name", "string"), read("nonces", "uint256", [account.address])])) as [string, bigint];
  const signature = await account.signTypedData({
    domain: { name, version: "1", chainId: client.chain!.id, verifyingContract: token },
    types: {
      Permit: [
        field("address", "owner"), field("address", "spender"), field("uint256", "value"), field("uint256", "nonce"), field("uint256", "deadline"),
      ],
    },
    primaryType: "Permit",
    message: { owner: account.address, spender: paymaster, value, nonce, deadline: maxUint256 },
  });
  return concat([toHex(value, { size: 32 }), signature]);
}
