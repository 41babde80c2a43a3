// A contract account's signature under typed data (ERC-7739): it binds the account, so that it cannot be used for another
// account of the same owner.
import { type Address, type Hex, type LocalAccount, type PublicClient, type TypedDataDefinition, zeroHash } from "viem";
import { hashTypedData, wrapTypedDataSignature } from "viem/experimental/erc7739";

export async function signAs(account: Address, owner: LocalAccount, client: PublicClient, data: TypedDataDefinition): Promise<Hex> {
  const { domain } = await client.getEip712Domain({ address: account });
  const verifierDomain = { ...domain, chainId: Number(domain.chainId), salt: domain.salt ?? zeroHash };
  const hash = hashTypedData({ ...data, verifierDomain } as Parameters<typeof hashTypedData>[0]);
  const signature = await owner.sign!({ hash });
  return wrapTypedDataSignature({ ...data, signature } as Parameters<typeof wrapTypedDataSignature>[0]);
}
