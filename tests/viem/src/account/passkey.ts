// An owner that is a passkey: WebAuthn assertions, encoded as our PasskeyVerifier reads them.
import { type Hex, bytesToHex, concat, encodeAbiParameters, hashMessage, hashTypedData, hexToBytes, stringToHex, toHex } from "viem";
import type { Owner } from "./owner.js";

/** What `navigator.credentials.get` answers, with the signature taken apart. */
export interface Assertion {
  authenticatorData: Hex;
  clientDataJSON: string;
  r: bigint;
  s: bigint;
}

export interface Passkey {
  /** The public key's halves, 32 bytes each. */
  x: Hex;
  y: Hex;
  /** Asks the authenticator: one touch of the user. */
  sign(challenge: Hex): Promise<Assertion>;
}

/** The order of P-256. */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** The stub names another challenge, so that an estimate ends before the curve. Enough for P-256 in Solidity. */
const VERIFICATION_GAS = 450_000n;

export function passkeyOwner(passkey: Passkey): Owner {
  const sign = async (challenge: Hex) => encodeAssertion(passkey, await passkey.sign(challenge));
  return {
    bytes: concat([passkey.x, passkey.y]),
    stub: encodeAssertion(passkey, {
      authenticatorData: concat([bytesToHex(new Uint8Array(32).fill(0xff)), "0x05ffffffff"]),
      clientDataJSON: clientData(bytesToHex(new Uint8Array(32).fill(0xff)), "https://a-rather-long-name.of-some.example"),
      r: N - 1n,
      s: N / 2n,
    }),
    verificationGas: VERIFICATION_GAS,
    signTypedData: (data) => sign(hashTypedData(data)),
    signMessage: (raw) => sign(hashMessage({ raw })),
  };
}

/** `0x01 ‖ x ‖ y ‖ abi.encode(r, s, challengeIndex, typeIndex, authenticatorData, clientDataJSON)`, with low s. */
function encodeAssertion({ x, y }: Passkey, { authenticatorData, clientDataJSON, r, s }: Assertion): Hex {
  const uint256 = { type: "uint256" } as const;
  const encoded = encodeAbiParameters(
    [uint256, uint256, uint256, uint256, { type: "bytes" }, { type: "string" }],
    [r, low(s), indexOf(clientDataJSON, '"challenge"'), indexOf(clientDataJSON, '"type"'), authenticatorData, clientDataJSON],
  );
  return concat(["0x01", x, y, encoded]);
}

/** Of the two values that are as good, the one that our contracts take. */
const low = (s: bigint) => (s > N / 2n ? N - s : s);

function indexOf(text: string, part: string): bigint {
  const index = text.indexOf(part);
  if (index < 0) throw new Error(`client data without ${part}`);
  return BigInt(index);
}

/** What a browser puts before the authenticator. */
export function clientData(challenge: Hex, origin: string): string {
  const text = Buffer.from(hexToBytes(challenge)).toString("base64url");
  return JSON.stringify({ type: "webauthn.get", challenge: text, origin, crossOrigin: false });
}

const bytes = (hex: Hex) => new Uint8Array(hexToBytes(hex));

/** A passkey in software, for tests and servers: what browser and authenticator do, with a key of this process. */
export async function softwarePasskey(origin: string): Promise<Passkey> {
  const key = await newKey();
  const relyingParty = await sha256(stringToHex(new URL(origin).hostname));
  let counter = 0;
  return {
    x: key.x,
    y: key.y,
    async sign(challenge) {
      // Flags: the user was present, and verified.
      const authenticatorData = concat([relyingParty, "0x05", toHex(++counter, { size: 4 })]);
      const clientDataJSON = clientData(challenge, origin);
      return { authenticatorData, clientDataJSON, ...(await key.sign(concat([authenticatorData, await sha256(stringToHex(clientDataJSON))]))) };
    },
  };
}

/** A session's key that cannot leave WebCrypto; it signs `r ‖ s` over the SHA-256 of a digest. Owners are passkeys. */
export async function webCryptoKey(): Promise<Owner> {
  const key = await newKey();
  const encode = (r: bigint, s: bigint) => concat([toHex(r, { size: 32 }), toHex(s, { size: 32 })]);
  const sign = async (digest: Hex) => {
    const { r, s } = await key.sign(digest);
    return encode(r, low(s));
  };
  return {
    bytes: concat([key.x, key.y]),
    stub: encode(N - 1n, N / 2n),
    signTypedData: (data) => sign(hashTypedData(data)),
    signMessage: (raw) => sign(hashMessage({ raw })),
  };
}

async function newKey() {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  return {
    x: bytesToHex(point.slice(1, 33)),
    y: bytesToHex(point.slice(33, 65)),
    async sign(data: Hex) {
      const signature = new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, bytes(data)));
      return { r: BigInt(bytesToHex(signature.slice(0, 32))), s: BigInt(bytesToHex(signature.slice(32))) };
    },
  };
}

const sha256 = async (data: Hex) => bytesToHex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes(data))));
