// The explorer, as anybody has it: in a real browser, on the stack of `fabstir dev`.
import assert from "node:assert/strict";
import type { Page } from "puppeteer-core";
import { assertAccessible, assertFits, onPhone, picture, press, sees, visit, withBrowser } from "./browser.js";
import { check } from "./check.js";
import { ask, readDev } from "./dev.js";

interface Line {
  userOpHash: string;
  stage: string;
}

const dev = readDev();
const STAGES = ["received", "validated", "pooled", "accepted", "bundled", "proven", "signed", "broadcast", "mined", "settled"];

const open = async (page: Page, hash: string, shows: string) => {
  await page.evaluate((hash) => (location.hash = hash), hash);
  await sees(page, shows, "main");
};
const find = async (page: Page, text: string, shows: string) => {
  await page.$eval("#find", (input) => ((input as HTMLInputElement).value = ""));
  await page.type("#find", text);
  await page.keyboard.press("Enter");
  await sees(page, shows, "main");
};

// The demo host has registered by operations: they are what there is to see.
const { result } = await ask(dev, "fabstir_explorerSearch", [dev.host.account]);
const operations = (result as { operations: Line[] }).operations;
// The oldest: it is registered before the demo's jobs.
const registered = operations.at(-1)!.userOpHash;

await withBrowser(async (browser) => {
  const { page, troubles } = await visit(browser, `${dev.rpcUrl}/explorer/`);

  await check("what is going on is seen without asking", async () => {
    await sees(page, "Newest operations", "main");
    await sees(page, "In the pool", "main");
    await sees(page, registered.slice(0, 8), "main");
    await picture(page, "explorer-overview");
  });

  await check("an operation is found by its hash, with every stage and its time", async () => {
    await find(page, registered, "Timeline");
    for (const stage of STAGES) await sees(page, stage, ".timeline");
    const times = await page.$$eval(".timeline .end", (found) => found.map(({ textContent }) => textContent!));
    assert.equal(times.length, STAGES.length);
    assert.match(times[0]!, /^\d{4}-\d\d-\d\d .* UTC$/);
    for (const time of times.slice(1)) assert.match(time, /^\+[\d.]+ m?s$/);
  });

  await check("its calls, who paid, its gas and its validation are in words", async () => {
    await sees(page, "NodeRegistry", "main");
    await sees(page, "sponsoring paymaster v0.8", "main");
    await sees(page, "EntryPoint v0.8", "main");
    const { result } = await ask(dev, "eth_getUserOperationReceipt", [registered]);
    const used = BigInt((result as { actualGasUsed: string }).actualGasUsed).toLocaleString("en");
    await sees(page, `for ${used} gas`, "main");
    await sees(page, "The paymaster's word", "main");
    await sees(page, "stake: staked", "main").catch(() => sees(page, "stake: none", "main"));
    await picture(page, "explorer-operation");
  });

  await check("its account leads to all of its operations, and its transaction to those in it", async () => {
    await find(page, dev.host.account, "Operations of the account");
    assert.equal((await page.$$("main .list > li")).length, operations.length);
    const { result } = await ask(dev, "eth_getUserOperationReceipt", [registered]);
    await find(page, (result as { receipt: { transactionHash: string } }).receipt.transactionHash, "Operations in the transaction");
    await sees(page, registered.slice(0, 8), "main");
  });

  await check("a job and a session lead to what was done about them, by whom", async () => {
    for (const [contract, shows, least] of [
      [dev.deployment.jobMarketplace, "Operations about the job", 4],
      [dev.deployment.sessionMarketplace, "Operations about the session", 2],
    ] as const) {
      const filter = { address: contract, fromBlock: "0x0", toBlock: "latest" };
      const { result } = await ask({ ...dev, rpcUrl: dev.nodeUrl }, "eth_getLogs", [filter]);
      const ids = (result as { topics: string[] }[]).flatMap(({ topics }) => topics.slice(1, 2)).filter((id) => !id.startsWith(`0x${"0".repeat(24)}`));
      assert.ok(ids.length > 0, "the demo did nothing");
      await find(page, ids.at(-1)!, shows);
      const found = (await page.$$("main .list > li")).length;
      assert.ok(found >= least, `${found} of ${contract}`);
    }
  });

  await check("what is no such thing is said to be none", async () => {
    await find(page, "hello", "Nothing found");
    await find(page, `0x${"12".repeat(32)}`, "Nothing found");
    await open(page, `#/op/0x${"12".repeat(32)}`, "Unknown operation");
  });

  await check("a refused operation says why", async () => {
    const { result } = await ask(dev, "eth_getUserOperationByHash", [registered]);
    const { userOperation } = result as { userOperation: Record<string, string> };
    // The next nonce's key: nothing but the signature is wrong with it.
    const op: Record<string, string> = { ...userOperation, nonce: `0x${(9n << 64n).toString(16)}`, verificationGasLimit: "0x493e0" };
    for (const field of ["factory", "factoryData", "paymaster", "paymasterData", "paymasterVerificationGasLimit", "paymasterPostOpGasLimit", "paymasterSignature"]) delete op[field];
    const { error } = await ask(dev, "eth_sendUserOperation", [op, dev.deployment.entryPoints["v0.8"]]);
    assert.ok(error, "taken with a signature of something else");
    await open(page, "#/", "Newest operations");
    await sees(page, "refused", "main");
    await sees(page, error.message.slice(0, 24), "main");
  });

  await check("every page fits a phone, and axe finds nothing serious in it", async () => {
    for (const [hash, shows] of [
      ["#/", "Newest operations"],
      [`#/op/${registered}`, "Timeline"],
      [`#/search/${dev.host.account}`, "Operations of the account"],
      ["#/search/hello", "Nothing found"],
    ] as const) {
      await open(page, hash, shows);
      await assertAccessible(page, hash);
      await onPhone(page, async () => {
        await assertFits(page, hash);
        await assertAccessible(page, `${hash} on a phone`);
        if (hash.startsWith("#/op/")) await picture(page, "explorer-phone");
      });
    }
  });

  await check("all of it is done by keyboard alone", async () => {
    await open(page, "#/", "Newest operations");
    await page.focus("#find");
    await page.keyboard.type(registered);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await sees(page, "Timeline", "main");
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1");
    await press(page, "link", "Fabstir explorer");
    await sees(page, "Newest operations", "main");
  });

  await check("no script failed, no content was refused, nothing was loaded from elsewhere", async () => {
    assert.deepEqual(troubles, []);
  });
});
