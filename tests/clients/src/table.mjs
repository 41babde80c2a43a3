// One row of the table: an account in a client is created, makes a batch, is sponsored, and is refused. A line of JSON for
// each step goes to standard output, and nothing else does.
import assert from "node:assert/strict";
import { inspect } from "node:util";
import { toEventHash } from "viem";
import { allowance, approve, client, deployment, fund, rpc } from "./world.mjs";

export const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
// Libraries talk; the table is read from standard output.
console.log = console.info = console.debug = (...words) => console.error(...words);

const spender = (n) => `0x${n.toString(16).padStart(40, "0")}`;

async function mined(hash) {
  for (let tries = 0; tries < 600; tries++) {
    const receipt = await rpc("eth_getUserOperationReceipt", [hash]);
    if (receipt) return receipt;
    await new Promise((later) => setTimeout(later, 50));
  }
  throw new Error(`${hash} was not mined in 30 seconds`);
}

const EVENT = toEventHash("UserOperationEvent(bytes32,address,address,uint256,bool,uint256,uint256)");

/** Some clients tell no more of an operation than the transaction that it came in. */
async function operationIn(hash) {
  const { logs } = await client.getTransactionReceipt({ hash });
  return logs.find(({ topics }) => topics[0] === EVENT).topics[1];
}

/** Everything that somebody may read of an error: its words, and those of what caused it. */
export function words(error) {
  const seen = [];
  for (let cause = error; cause && seen.length < 8; cause = cause.cause) seen.push(inspect(cause, { depth: 6, breakLength: Infinity }));
  return seen.join("\n");
}

/**
 * Runs the steps of one account. `open(sponsor)` is the account as the client has it, whose `send(calls)` resolves to the
 * hash of an operation, or of its transaction; `sponsor` names the paymaster's policy, or is undefined where the account
 * pays. `skip` names steps that the client or the account cannot do, each with its sentence. `refused` names those that
 * must fail, each with the rule that our answer must name and its sentence; `create`, the transaction that then makes the
 * account.
 */
export async function row(name, account, options) {
  if (process.env.FABSTIR_ESTIMATES !== undefined) return (await import("./estimates.mjs")).estimates(name, account, options);
  const { entryPoint, address, open, skip = {}, refused = {}, create } = options;
  const steps = {
    async create({ account: of }) {
      await fund(of);
      await acts(of, await open(), [[spender(0x11), 1n]]);
      assert.ok(await client.getCode({ address: of }), "it has code");
    },
    async batch({ account: of }) {
      await fund(of);
      await acts(of, await open(), [[spender(0x12), 2n], [spender(0x13), 3n]]);
    },
    async sponsor({ account: of }) {
      const before = await client.getBalance({ address: of });
      const receipt = await acts(of, await open("open"), [[spender(0x14), 4n]]);
      assert.equal(receipt.paymaster?.toLowerCase(), deployment.paymasters[entryPoint].toLowerCase());
      assert.equal(await client.getBalance({ address: of }), before, "it paid nothing");
    },
    async refuse() {
      const sending = Promise.resolve(open("closed")).then(({ send }) => send([approve(spender(0x15), 5n)]));
      const error = await sending.then(() => assert.fail("it was sponsored"), (refused) => refused);
      assert.ok(!(error instanceof assert.AssertionError), error);
      assert.match(words(error), REASON, "the error does not say why");
    },
  };
  for (const [step, run] of Object.entries(steps)) {
    try {
      if (step in skip) {
        say({ client: name, account, step, ok: null, why: skip[step] });
      } else if (step in refused) {
        const [rule, sentence] = refused[step];
        const error = await run({ account: address }).then(() => null, (thrown) => thrown);
        assert.ok(error, "it was to be refused");
        assert.ok(words(error).includes(rule), words(error));
        say({ client: name, account, step, ok: false, why: sentence });
      } else {
        await run({ account: address });
        say({ client: name, account, step, ok: true });
      }
      if (step === "create") await create?.();
    } catch (error) {
      console.error(`${name}, ${account}: ${step}:`, error);
      say({ client: name, account, step, ok: false, unexpected: words(error).slice(0, 3000) });
    }
  }
}

/** What our paymaster says of an operation that the policy `closed` does not allow. */
const REASON = /not sponsored: (call \d+ goes to 0x[0-9a-fA-F]{40}|callData is no known way)/;

/** The receipt of what a client's `send` told of. */
export const minedAs = async (sent) => mined(sent.transaction ? await operationIn(sent.transaction) : sent);

async function acts(of, { send }, approvals) {
  const receipt = await minedAs(await send(approvals.map(([to, amount]) => approve(to, amount))));
  assert.ok(receipt.success, `it reverted: ${receipt.reason}`);
  assert.equal(receipt.sender.toLowerCase(), of.toLowerCase());
  for (const [to, amount] of approvals) assert.equal(await allowance(of, to), amount);
  return receipt;
}
