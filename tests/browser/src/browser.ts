// A real Chromium, and what is wanted of every page in it: nothing from elsewhere, no error, readable by everybody, as
// wide as the screen.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import type { AxeResults } from "axe-core";
import { type Browser, type Page, launch } from "puppeteer-core";

const IMAGES = new URL("../../../docs/images/", import.meta.url);
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
/** What axe's findings are worth failing for. */
const SERIOUS = ["serious", "critical"];
const [WIDE, NARROW] = [
  { width: 1280, height: 800 },
  { width: 390, height: 844, isMobile: true, hasTouch: true },
];

export interface Visit {
  page: Page;
  /** Everything that went wrong so far: errors of scripts, refusals of the content policy, requests to elsewhere. */
  troubles: string[];
}

/** Debian's package unless `FABSTIR_CHROMIUM` says where another is. */
export async function withBrowser(body: (browser: Browser) => Promise<void>): Promise<void> {
  const browser = await launch({
    executablePath: process.env.FABSTIR_CHROMIUM ?? "/usr/bin/chromium",
    // Pages of our own only; and as root there is no other way.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb", "--lang=en"],
  });
  try {
    await body(browser);
  } finally {
    await browser.close();
  }
}

/** A page of a tab of its own that may ask `origins` and nothing else. */
export async function visit(browser: Browser, url: string, origins: string[] = []): Promise<Visit> {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport(WIDE);
  page.setDefaultTimeout(60_000);
  const allowed = [new URL(url).origin, ...origins];
  const troubles: string[] = [];
  page.on("pageerror", (error) => troubles.push(`error: ${error instanceof Error ? error.stack : String(error)}`));
  page.on("console", (message) => {
    // An answer that is no success is told by the page itself.
    const answered = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (message.type() === "error" && !answered) troubles.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (protocol !== "data:" && !allowed.includes(origin)) troubles.push(`asked elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  return { page, troubles };
}

/** As many pixels wide as a phone, until `body` is through. */
export async function onPhone(page: Page, body: () => Promise<void>): Promise<void> {
  await page.setViewport(NARROW);
  try {
    await body();
  } finally {
    await page.setViewport(WIDE);
  }
}

/** Fails if the page can be scrolled sideways, and says what is too wide. */
export async function assertFits(page: Page, name: string): Promise<void> {
  const [width, wide] = await page.evaluate(() => {
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [clientWidth, []] as const;
    const beyond = [...document.querySelectorAll("body *")].filter((it) => it.getBoundingClientRect().right > clientWidth);
    return [clientWidth, beyond.map((it) => `${it.tagName}.${it.getAttribute("class") ?? ""}`)] as const;
  });
  assert.equal(width, NARROW.width, `${name} was not looked at on a phone`);
  assert.deepEqual(wide, [], `${name} is wider than the screen`);
}

/** Fails for each serious finding of axe, in light and in dark colours. */
export async function assertAccessible(page: Page, name: string): Promise<void> {
  const axe = await readFile(AXE, "utf8");
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([
      { name: "prefers-color-scheme", value: scheme },
      { name: "prefers-reduced-motion", value: "reduce" },
    ]);
    await page.evaluate(axe);
    const { violations, passes } = (await page.evaluate("axe.run()")) as AxeResults;
    assert.ok(passes.length > 5, "axe looked at nothing");
    const found = violations.filter(({ impact }) => SERIOUS.includes(impact ?? ""));
    const said = found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    assert.deepEqual(said, [], `${name}, ${scheme}`);
  }
  await page.emulateMediaFeatures([]);
}

/** A picture for the documentation, if they are wanted anew. */
export async function picture(page: Page, name: string): Promise<void> {
  if (!process.env.FABSTIR_SCREENSHOTS) return;
  await mkdir(IMAGES, { recursive: true });
  await page.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "reduce" }]);
  await page.screenshot({ path: new URL(`${name}.png`, IMAGES).pathname as `${string}.png`, optimizeForSpeed: false });
  await page.emulateMediaFeatures([]);
}

/** Waits until the text that a person sees holds this, and says what was there if it never does. */
export async function sees(page: Page, text: string, within = "body"): Promise<void> {
  const there = (text: string, within: string) =>
    [...document.querySelectorAll<HTMLElement>(within)].some(({ innerText }) => innerText.includes(text));
  try {
    await page.waitForFunction(there, {}, text, within);
  } catch (error) {
    const seen = await page.$$eval(within, (found) => found.map((it) => (it as HTMLElement).innerText));
    throw new Error(`"${text}" was never seen in ${within}, but ${JSON.stringify(seen)}`, { cause: error });
  }
}

/** Clicks what a screen reader calls this. */
export const press = (page: Page, role: string, name: string) => page.locator(`::-p-aria([role="${role}"][name="${name}"])`).click();
