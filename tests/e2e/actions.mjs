// What a reader does on the page, through visible controls only, and what the page then says.
import { same as equal, settled } from "./lib/harness.mjs";

export const controlId = (key) => key.replace(/[._]/g, "-");

/** The control of an input, its group opened where it stands in one. */
export async function control(page, key) {
  const id = controlId(key);
  await openSettings(page, id);
  const group = page.locator(`details[data-inputs~="${id}"]`);
  if ((await group.count()) > 0 && (await group.getAttribute("open")) === null) {
    await group.locator("summary").click();
  }
  const found = page.locator(`#${id}`);
  await found.waitFor({ state: "visible" });
  return found;
}

/** Shows all settings where a control stands among them. */
async function openSettings(page, id) {
  await settled(page);
  const settings = page.locator("#all-settings");
  if ((await page.locator(`#${id}`).count()) > 0 || (await settings.getAttribute("open")) !== null) return;
  await settings.locator("> summary").click();
  await settled(page);
}

/** Takes a line of a searchable choice by typing and Enter. */
export async function choose(page, id, search, value) {
  const box = page.locator(`#${id}`);
  await box.click();
  await box.fill(search);
  const line = page.locator(`#${id}-list [data-value="${value}"]`);
  await line.waitFor({ state: "visible" });
  for (let i = 0; i < 400; i += 1) {
    const active = await box.getAttribute("aria-activedescendant");
    if (active === (await line.getAttribute("id"))) break;
    await box.press("ArrowDown");
  }
  await box.press("Enter");
}

/** Chooses a model of the catalogue; an empty id takes the line for typed fields. */
export async function chooseModel(page, id) {
  await choose(page, "model-id", id === "" ? "none" : id, id);
}

/** Pastes a config.json and applies it. */
export async function pasteConfig(page, text) {
  await paste(page, text);
  await page.locator("#import-apply").click();
  await page.locator("dialog[open]").waitFor({ state: "hidden" });
}

/** Opens the box, puts a text into it, and waits until it was read. */
export async function paste(page, text) {
  if (!(await page.locator("#import-text").isVisible())) await page.locator("#open-import").click();
  await page.locator("#import-text").fill(text);
  await page.locator("#import-result [data-kind]").waitFor();
}

/** Drops a file somewhere on the page. */
export async function drop(page, name, text) {
  const data = await page.evaluateHandle(([name, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], name));
    return transfer;
  }, [name, text]);
  for (const event of ["dragover", "drop"]) await page.locator("#answer, #main").first().dispatchEvent(event, { dataTransfer: data });
}

/** The values in the address of the page, by their keys of a link; the tab beside them. */
export const fragment = (page) => Object.fromEntries(new URL(page.url()).hash.slice(1).split("&").filter(Boolean)
  .map((part) => part.split("=")).map(([key, value]) => [key, decodeURIComponent(value ?? "")]));

/** Gives a value to an input through its control. */
export async function set(page, key, value) {
  if (key === "model.id") return chooseModel(page, value);
  if (key === "model.hf_config") return pasteConfig(page, JSON.stringify(value, null, 2));
  if (key === "hardware.gpu") return choose(page, "hardware-gpu", value, value);
  const field = await control(page, key);
  const tag = await field.evaluate((element) => `${element.tagName}:${element.type}`);
  if (tag.startsWith("SELECT")) return field.selectOption(String(value));
  if (tag === "INPUT:checkbox") return field.setChecked(value === true || value === "true");
  await field.fill(Array.isArray(value) ? value.join(", ") : String(value));
  await field.blur();
}

/** Gives every value of a request, model first. */
export async function enter(page, request) {
  const rank = { "model.id": 0, "model.hf_config": 1, "engine.type": 2 };
  const values = Object.entries(request).flatMap(([section, fields]) =>
    Object.entries(fields).map(([name, value]) => [`${section}.${name}`, value]),
  );
  values.sort(([a], [b]) => (rank[a] ?? 9) - (rank[b] ?? 9));
  for (const [key, value] of values) await set(page, key, value);
}

/** What the page says: verdict, totals, meters and ledger, in exact bytes. */
export async function answer(page) {
  await settled(page);
  return page.evaluate(() => {
    const verdict = document.querySelector("#verdict");
    if (!verdict) return null;
    const number = (element, name) => Number(element.dataset[name]);
    const meters = {};
    for (const meter of document.querySelectorAll("[data-meter]")) {
      meters[meter.dataset.meter] = {
        low_bytes: number(meter, "low"),
        expected_bytes: number(meter, "expected"),
        high_bytes: number(meter, "high"),
      };
    }
    const ledger = [...document.querySelectorAll(".ledger-row")].map((row) => ({
      key: row.dataset.key,
      label: row.querySelector(".ledger-label").firstChild.textContent,
      unit_bytes: number(row, "unit"),
      held: number(row, "held"),
      bytes: number(row, "bytes"),
    }));
    const totals = Object.fromEntries([...document.querySelectorAll("[data-total]")].map((row) => [row.dataset.total, number(row, "bytes")]));
    return { totals, verdict: verdict.dataset.verdict, stale: verdict.dataset.stale === "true", meters, ledger };
  });
}

/** The same from the JSON of the command line. Rows of the same id and place are numbered, as the page numbers them. */
export function fromCommandLine(json) {
  const met = new Map();
  const ledger = json.ledger.map((row) => {
    const place = row.place ? `${row.id}@${row.place}` : row.id;
    const times = (met.get(place) ?? 0) + 1;
    met.set(place, times);
    return {
      key: times > 1 ? `${place}#${times}` : place,
      label: row.label,
      unit_bytes: row.unit_bytes,
      held: row.held,
      bytes: row.bytes,
    };
  });
  const totals = {
    "per-gpu": json.total_memory_per_gpu_bytes,
    "all-gpus": json.total_memory_all_gpus_bytes,
    cpu: json.cpu_memory_bytes,
  };
  return { totals, verdict: json.verdict, stale: false, meters: json.meters, ledger };
}

/** Everything that a change can show: the answer, the warnings and the errors. */
export async function outcome(page) {
  await settled(page);
  return page.evaluate(() => {
    const text = (selector) => [...document.querySelectorAll(selector)].map((element) => element.textContent).join("\n");
    const bytes = [...document.querySelectorAll("[data-bytes], [data-meter]")].map((element) => JSON.stringify({ ...element.dataset }));
    return [text("#answer"), text(".messages"), text("#model-facts"), ...bytes].join("\n");
  });
}

/** Compares verdict, meters and every row of the ledger, so that a difference names its row. */
export function sameAnswer(shown, expected, name) {
  if (!shown) throw new Error(`${name}: the page shows no answer`);
  const rows = (answer) => new Map(answer.ledger.map((row) => [row.key, row]));
  equal(rows(expected).size, expected.ledger.length, `${name}: keys of the ledger`);
  const [left, right] = [rows(shown), rows(expected)];
  equal([...left.keys()].sort(), [...right.keys()].sort(), `${name}: rows of the ledger`);
  for (const [key, row] of right) equal(left.get(key), row, `${name}: ${key}`);
  for (const meter of ["allocated", "reserved", "device"]) {
    equal(shown.meters[meter], expected.meters[meter], `${name}: ${meter}`);
  }
  equal(shown.totals, expected.totals, `${name}: totals`);
  equal(shown.verdict, expected.verdict, `${name}: verdict`);
  equal(shown.stale, false, `${name}: belongs to a previous input`);
}

/** Opens every group, every help text and some rows of the ledger. */
export async function openEverything(page) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((group) => { group.open = true; }));
  await page.waitForFunction(() => [...document.querySelectorAll("details.group:not([hidden])")]
    .every((group) => group.querySelector(".field")));
  await page.evaluate(() => {
    document.querySelectorAll(".help-button").forEach((button) => button.click());
    document.querySelectorAll(".breakdown-open").forEach((button) => button.click());
    [...document.querySelectorAll(".ledger-open")].slice(0, 4).forEach((button) => button.click());
  });
}
