// Operations of one account of the table, of many shapes: each is estimated with the client's dummy signature, signed with
// what the estimate says, admitted and executed. A line of JSON for each goes to standard output.
import assert from "node:assert/strict";
import { concatHex, encodeFunctionData, keccak256, parseAbi, toHex } from "viem";
import { estimateOf, room } from "./between.mjs";
import { minedAs, say, words } from "./table.mjs";
import { approve, client, deployment, fund } from "./world.mjs";

/** Rounds of all shapes; with 0, two shapes of one. */
const rounds = Number(process.env.FABSTIR_ESTIMATES);
let state = keccak256(toHex(`${process.env.FABSTIR_SEED} ${process.argv[1].split("/").at(-1)}`));
const dice = (below) => {
  state = keccak256(state);
  return Number(BigInt(state) % BigInt(below));
};

const someone = () => {
  dice(2);
  return `0x${state.slice(2, 42)}`;
};
const mint = () => {
  const abi = parseAbi(["function mint(address to, uint256 amount)"]);
  return { to: deployment.token, value: 0n, data: encodeFunctionData({ abi, args: [someone(), BigInt(dice(1_000_000))] }) };
};
const approval = () => approve(someone(), BigInt(dice(1_000_000)));
/** What a function does not read costs calldata all the same. */
const long = () => {
  const call = approval();
  return { ...call, data: concatHex([call.data, `0x${state.slice(2).repeat(1 + dice(40))}`]) };
};
const several = (call) => Array.from({ length: 2 + dice(7) }, call);

/** By name: the calls, and whose policy sponsors them. */
function shapes({ skip, refused }) {
  // A client that gives a limit for the call gets it back: what needs more is refused, as its row of the table says.
  const bounded = "batch" in refused;
  const batches = !bounded && !("batch" in skip);
  const all = { "one call": [() => [approval()]] };
  if (!bounded) {
    all["ether to somebody new"] = [() => [{ to: someone(), value: 1n, data: "0x" }]];
    all["mint"] = [() => [mint()]];
    all["long calldata"] = [() => [long()]];
  }
  if (batches) all["batch"] = [() => several(approval)];
  if (batches) all["batch of two kinds"] = [() => [mint(), ...several(approval)]];
  if (!("sponsor" in refused)) {
    all["sponsored"] = [() => [approval()], "open"];
    if (batches) all["sponsored batch"] = [() => several(approval), "open"];
  }
  return Object.entries(all);
}

export async function estimates(name, account, { address: of, open, skip = {}, refused = {}, create }) {
  const measure = async (shape, [calls, sponsor]) => {
    const line = { client: name, account, shape };
    try {
      await fund(of);
      const these = calls();
      const send = async () => (await open(sponsor)).send(these);
      const over = rounds > 0 ? await room(send) : undefined;
      const { sent, estimated } = await estimateOf(send);
      const receipt = await minedAs(sent);
      assert.ok(receipt.success, `it reverted: ${receipt.reason}`);
      say({ ...line, estimated: estimated?.toString(), over });
    } catch (error) {
      console.error(`${name}, ${account}: ${shape}:`, error);
      say({ ...line, failure: words(error).slice(0, 3000) });
    }
  };
  if ("create" in skip || "create" in refused) await create?.();
  else if (!(await client.getCode({ address: of }))) await measure("create", [() => [approval()]]);
  const some = shapes({ skip, refused });
  if (rounds === 0) for (const [shape, how] of [some[0], some[1 + dice(some.length - 1)]]) await measure(shape, how);
  for (let round = 0; round < rounds; round++) for (const [shape, how] of some) await measure(shape, how);
}
