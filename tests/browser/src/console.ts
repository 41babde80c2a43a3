// The paymaster's web console, as an operator has it: in a real browser, on the stack of `fabstir dev`.
import assert from "node:assert/strict";
import type { Page } from "puppeteer-core";
import { assertAccessible, assertFits, onPhone, picture, press, sees, visit, withBrowser } from "./browser.js";
import { check } from "./check.js";
import { approval, operation, readDev, sponsor } from "./dev.js";

const PAGES = ["overview", "policies", "policy/marketplace", "usage", "budgets", "decisions", "funds", "audit"];
/** Nobody sponsors calls to it. */
const STRANGER = "0x9999999999999999999999999999999999999999";
const EDITOR = "textarea[aria-label='Text of the policy marketplace']";

const dev = readDev();
const url = `${dev.adminUrl}/console/`;

const open = async (page: Page, name: string, shows: string) => {
  await page.evaluate((hash) => (location.hash = hash), `#/${name}`);
  await sees(page, shows, "main");
};

/** Puts a text into the editor as if it had been pasted. */
const write = (page: Page, text: string) =>
  page.$eval(
    EDITOR,
    (editor, text) => {
      (editor as HTMLTextAreaElement).value = text;
      editor.dispatchEvent(new InputEvent("input", { bubbles: true }));
    },
    text,
  );
const written = (page: Page) => page.$eval(EDITOR, (editor) => (editor as HTMLTextAreaElement).value);
const saveable = async (page: Page, wanted: boolean) => {
  const fits = (wanted: boolean) => [...document.querySelectorAll("button")].some((it) => it.textContent === "Save and put in force" && it.disabled !== wanted);
  await page.waitForFunction(fits, {}, wanted);
};

await withBrowser(async (browser) => {
  const { page, troubles } = await visit(browser, url);

  await check("a wrong key opens nothing, and says so", async () => {
    await page.type("input[type=password]", "guess");
    await page.keyboard.press("Enter");
    await sees(page, "This key is not known.");
    assert.equal(await page.$("nav"), null);
    await assertAccessible(page, "the log-in");
    await onPhone(page, () => assertFits(page, "the log-in"));
  });

  await check("the key opens the console, and is kept in its tab alone", async () => {
    await page.$eval("input[type=password]", (input) => ((input as HTMLInputElement).value = ""));
    await page.type("input[type=password]", dev.adminKey);
    await page.keyboard.press("Enter");
    await sees(page, "You are dev (admin).");
    assert.deepEqual(await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie]), [[dev.adminKey], 0, ""]);
    await page.reload();
    await sees(page, "You are dev (admin).");
  });

  await check("what is promised is in the figures of policy, user and budget", async () => {
    const { error } = await sponsor(dev, approval(dev, 1n));
    assert.equal(error, undefined, JSON.stringify(error));
    await open(page, "usage", "What the policy marketplace cost, by day");
    await sees(page, "ETH in all", "main");
    await open(page, `usage/user/${dev.host.account}`, "cost, by day");
    await sees(page, "ETH in all", "main");
    await open(page, "budgets", "All policies together");
    await sees(page, "of 10 ETH left", "main");
    await sees(page, "resets in", "main");
  });

  await check("a denial over JSON-RPC is seen as it happens, with its reason", async () => {
    await open(page, "decisions", "live");
    const { error } = await sponsor(dev, operation(dev, STRANGER, "0x01020304"));
    assert.equal(error?.code, -32050);
    const reason = error?.data?.reason;
    assert.ok(reason?.toLowerCase().includes(STRANGER), reason);
    await sees(page, reason!, ".decision");
    await press(page, "button", "All");
    await sees(page, "sponsored", ".decision");
    await picture(page, "console-decisions");
  });

  await check("a bad line is marked with its number and cannot be saved", async () => {
    await open(page, "policy/marketplace", "As it is in force.");
    const lines = (await written(page)).split("\n");
    lines.splice(9, 0, "max_cost = 3");
    await write(page, lines.join("\n"));
    await sees(page, "Line 10, column 1", "main");
    await sees(page, "unknown field `max_cost`", "main");
    assert.equal(await page.$eval(".numbers .wrong", ({ textContent }) => textContent), "10");
    await saveable(page, false);
    await picture(page, "console-policy");
    await press(page, "button", "Line 10, column 1");
    const marked = await page.$eval(EDITOR, (it) => {
      const { value, selectionStart, selectionEnd } = it as HTMLTextAreaElement;
      return value.slice(selectionStart, selectionEnd);
    });
    assert.equal(marked, "max_cost = 3");
  });

  await check("a dry run under a text that is not in force says which rule denies what", async () => {
    await page.reload();
    await sees(page, "As it is in force.", "main");
    await write(page, `${await written(page)}\n[senders]\nblock = ["${dev.host.account}"]\n`);
    await sees(page, "It is not in force yet.", "main");
    await page.type("textarea[rows]", JSON.stringify(approval(dev, 2n)));
    await press(page, "button", "Dry run");
    await sees(page, "Would be denied.", "main");
    await sees(page, "Rule senders", "main");
    assert.equal((await sponsor(dev, approval(dev, 2n))).error, undefined);
  });

  await check("a saved policy is in force at once", async () => {
    await saveable(page, true);
    await press(page, "button", "Save and put in force");
    await sees(page, "As it is in force.", "main");
    const { error } = await sponsor(dev, approval(dev, 3n));
    assert.equal(error?.data?.rule, "senders", JSON.stringify(error));
    await write(page, (await written(page)).split("\n[senders]")[0]!);
    await saveable(page, true);
    await press(page, "button", "Save and put in force");
    await sees(page, "As it is in force.", "main");
    assert.equal((await sponsor(dev, approval(dev, 3n))).error, undefined);
  });

  await check("a pause is asked about, and then nothing is sponsored until it ends", async () => {
    await open(page, "overview", "Pause sponsorship");
    await press(page, "button", "Pause sponsorship");
    await press(page, "button", "Cancel");
    assert.equal((await sponsor(dev, approval(dev, 4n))).error, undefined);
    await press(page, "button", "Pause sponsorship");
    await press(page, "button", "Pause");
    await sees(page, "Paused", "header");
    const { error } = await sponsor(dev, approval(dev, 4n));
    assert.equal(error?.data?.rule, "paused", JSON.stringify(error));
    await sees(page, "sponsorship is paused", ".decision");
    await press(page, "button", "Resume sponsorship");
    await sees(page, "Sponsoring", "header");
    assert.equal((await sponsor(dev, approval(dev, 4n))).error, undefined);
    await picture(page, "console-overview");
  });

  await check("deposits are those of the chain, and the log says who did what", async () => {
    await open(page, "funds", "EntryPoint v0.9");
    await sees(page, "Books and chain", "main");
    await open(page, "audit", "policy.replace");
    for (const action of ["pause", "resume"]) await sees(page, action, "main");
    await sees(page, "by dev", "main");
  });

  await check("every page fits a phone, and axe finds nothing serious in it", async () => {
    for (const name of PAGES) {
      await open(page, name, "");
      await page.waitForFunction(() => document.querySelectorAll("main > *").length > 1);
      await assertAccessible(page, name);
      await onPhone(page, async () => {
        await assertFits(page, name);
        await assertAccessible(page, `${name} on a phone`);
      });
    }
    await onPhone(page, async () => {
      await open(page, "overview", "Latest denials");
      await picture(page, "console-phone");
    });
  });

  await check("logging out forgets the key", async () => {
    await press(page, "button", "Log out");
    await sees(page, "Admin key");
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await page.reload();
    await sees(page, "Admin key");
  });

  await check("no script failed, no content was refused, nothing was loaded from elsewhere", async () => {
    assert.deepEqual(troubles, []);
  });
});
