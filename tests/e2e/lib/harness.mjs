// What a spec uses: `test` registers one, `openPage` gives it a page of its own, `capture` keeps a picture,
// `accessible` asks axe, `answerOf` asks the command line.
//
// A page that logs an error, throws, or asks for something that is not there fails the test that opened it.

import { AsyncLocalStorage } from "node:async_hooks";
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium, firefox } from "playwright-core";
import { serve } from "./server.mjs";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const DIST = process.env.DIST ?? join(ROOT, "dist");
const SCREENSHOTS = process.env.SCREENSHOTS ?? join(ROOT, "target/screenshots");
const COMMAND_LINE = process.env.GPU_MEM_CALC ?? join(ROOT, "target/debug/gpu-mem-calc");

/** The widths at which the page is looked at. */
export const WIDTHS = [1440, 768, 360];
export const SCHEMES = ["light", "dark"];

/** The folder of the built page. */
export const BUILT = DIST;

const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"];

const tests = [];
let file = "";
let started;
/** The pages that the test at hand has opened; tests run side by side. */
const opened = new AsyncLocalStorage();

/** Registers a test; `run` gets nothing and opens what it needs. */
export function test(name, run) {
  tests.push({ file, name, run });
}

/** All registered tests; the runner says beforehand from which file the next ones come. */
export const registry = { from: (name) => { file = name; }, all: () => tests };

/** Runs a test with pages of its own. */
export const apart = (run) => opened.run([], run);

/** The path of a Firefox in which the tests run instead of Chromium. */
const FIREFOX = process.env.FIREFOX;

/**
 * Starts the Firefox of the distribution, which speaks WebDriver BiDi. It does not know the command that sets a colour scheme, which
 * Playwright sends for each context; nothing that runs here needs it.
 */
async function startFirefox() {
  const browser = await firefox.launch({ channel: "moz-firefox", executablePath: FIREFOX });
  const session = browser._connection.toImpl(browser)._browserSession;
  const send = session.send.bind(session);
  session.send = (command, ...rest) =>
    (command === "emulation.setMediaFeaturesOverride" ? Promise.resolve({}) : send(command, ...rest));
  return browser;
}

async function start() {
  const site = await serve(DIST);
  if (FIREFOX) return { site, browser: await startFirefox() };
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  return { site, browser };
}

/**
 * Opens the page in a context of its own and waits until it is there. `place` is put behind the page's address. `site` is
 * the address of another server or file; `kept` lets the page keep its files; `expected` are faults that the test looks for
 * itself, as a pattern; `options` go to the browser. All settings are shown, as to a reader who has opened them once; a
 * `newcomer` sees the essential questions. `elsewhere` lists addresses that the page may ask, `before` runs in it before its
 * own code.
 */
export async function openPage({
  width = 1440, height = 900, scheme = "light", place = "", ready = "h1", site: other, kept = false, expected, options = {},
  newcomer = false, elsewhere = [], before,
} = {}) {
  started ??= start();
  const { site: own, browser } = await started;
  const site = other ? { address: other } : own;
  const context = await browser.newContext({
    viewport: { width, height },
    ...(FIREFOX ? {} : {
      colorScheme: scheme,
      reducedMotion: "reduce",
      permissions: site.address.startsWith("file:") ? [] : ["clipboard-read", "clipboard-write"],
      serviceWorkers: kept ? "allow" : "block",
    }),
    ...options,
  });
  if (!newcomer) await context.addInitScript(() => localStorage.setItem("gpu-mem-calc.settings", "open"));
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  if (before) await page.addInitScript(before);
  const faults = [];
  if (expected) faults.push = (fault) => (expected.test(fault) ? faults.length : Array.prototype.push.call(faults, fault));
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`thrown: ${error.stack ?? error}`));
  page.on("requestfailed", (request) => {
    // What a visitor leaves behind by going elsewhere is aborted; that is no fault of the page.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED" && why !== "NS_BINDING_ABORTED") faults.push(`not loaded: ${request.url()} ${why}`);
  });
  page.on("response", (answer) => answer.status() >= 400 && faults.push(`${answer.status()}: ${answer.url()}`));
  page.on("request", (request) => {
    const address = request.url();
    const own = [site.address, "data:", "blob:", ...elsewhere].some((start) => address.startsWith(start));
    if (!own) faults.push(`asked elsewhere: ${address}`);
  });
  opened.getStore().push({ context, page, faults });
  await page.goto(site.address + place);
  await page.waitForSelector(ready);
  await turnTo(page);
  await settled(page);
  return page;
}

/** Waits until no part of the page is being loaded. */
export const settled = (page) => page.waitForFunction(() => !document.querySelector(".part-waiting"));

/** The page loads what lies below its first answer when a reader turns to it. */
const turnTo = (page) => page.mouse.move(2, 2);

/** Reloads a page and waits until it is there again. */
export async function reload(page) {
  await page.reload();
  await page.waitForSelector("h1");
  await turnTo(page);
  await settled(page);
}

/** The address of the page, for links that leave and come back. */
export async function address() {
  started ??= start();
  return (await started).site.address;
}

/** Keeps a picture of the page under target/screenshots. */
export async function capture(page, name, { full = true } = {}) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.evaluate(() => [window, document.querySelector("#questions")].forEach((one) => one?.scrollTo(0, 0)));
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: full });
}

/** Fails with one line for each violation that axe finds in the page as it stands. */
export async function accessible(page) {
  const { violations, passes } = await new AxeBuilder({ page }).withTags(AXE_TAGS).analyze();
  const lines = violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id} (${help}): ${node.target.join(" ")}\n      ${node.failureSummary.replaceAll("\n", "\n      ")}`));
  check(passes.length > 0, "axe checked nothing");
  check(lines.length === 0, `axe found ${lines.length}:\n    ${lines.join("\n    ")}`);
}

/** What the command line prints for these arguments; a request may be given to its standard input. */
export async function answerOf(args, input) {
  const running = promisify(execFile)(COMMAND_LINE, args, { maxBuffer: 64 * 1024 * 1024 });
  // A command that does not read its input may be done before it is written.
  running.child.stdin.on("error", () => {});
  running.child.stdin.end(input ?? "");
  return (await running).stdout;
}

/** Fails the test unless something holds. */
export function check(holds, message) {
  if (!holds) throw new Error(message);
}

/** Fails the test unless two values are the same, as JSON. */
export function same(found, expected, what) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  check(left === right, `${what}: found ${left}, expected ${right}`);
}

/** Ends a test: closes its pages and returns what went wrong in them; keeps a picture of each if the test failed. */
export async function finish(name, failed) {
  const faults = [];
  for (const [index, { context, page, faults: own }] of opened.getStore().entries()) {
    faults.push(...own);
    if (failed || own.length > 0) {
      const safe = name.replaceAll(/[^a-z0-9]+/gi, "-").slice(0, 80);
      await page.screenshot({ path: join(SCREENSHOTS, `failed-${safe}-${index}.png`) }).catch(() => {});
    }
    await context.close();
  }
  return faults;
}

/** Ends the run. */
export async function stop() {
  if (!started) return;
  const { site, browser } = await started;
  await browser.close();
  await site.stop();
}
