// What the rules say of thirdweb's factory, and how an account of it comes to be all the same.
import { encodeFunctionData, parseAbi } from "viem";
import { deployed, transact } from "../world.mjs";

/** For `row`. */
export const thirdwebCreation = (owner) => ({
  refused: { create: ["STO-031", "its factory keeps a list of its accounts in its own storage, and has no stake: ERC-7562, STO-031 allows that to staked entities alone"] },
  create: () =>
    transact({
      to: deployed().thirdweb.factory,
      data: encodeFunctionData({ abi: parseAbi(["function createAccount(address admin, bytes data)"]), args: [owner, "0x"] }),
    }),
});
