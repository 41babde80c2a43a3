// Who may sign for an account: an ECDSA key or wallet, or a passkey.
import { type Hex, type LocalAccount, type TypedDataDefinition, pad } from "viem";

export interface Owner {
  /** As the contract writes it: 32 bytes are an address, 64 a P-256 public key. */
  bytes: Hex;
  /** A signature that is nobody's, as long as a real one. */
  stub: Hex;
  /** Gas for validation, if an estimate with the stub does not tell. Unused, it costs nothing. */
  verificationGas?: bigint;
  signTypedData(data: TypedDataDefinition): Promise<Hex>;
  /** Signs these bytes as a message (EIP-191). */
  signMessage(raw: Hex): Promise<Hex>;
}

/** Recovers to nobody, at the cost of a real signature. */
export const ECDSA_STUB: Hex =
  "0xfffffffffffffffffffffffffffffff0000000000000000000000000000000007aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1c";

export function ecdsaOwner(wallet: LocalAccount): Owner {
  return {
    bytes: pad(wallet.address, { size: 32 }),
    stub: ECDSA_STUB,
    signTypedData: (data) => wallet.signTypedData!(data),
    signMessage: (raw) => wallet.signMessage!({ message: { raw } }),
  };
}
