// Starts the calculator's module; says so where it cannot start; keeps the page for use without a network.
// The build puts the name of the module in place of the first import, and a hash into this file's name.
import init from "./MODULE.js";

// The document's policy lets no text become markup or the address of a script unless it passes here: markup of elements that the page
// is made of, which run nothing, without handlers; and addresses of this site and of its own workers. What a visitor types or brings is
// put into text nodes, and never comes this way.
const ELEMENTS = "a|b|br|button|caption|circle|clipPath|code|col|colgroup|dd|defs|desc|details|dialog|div|dl|dt|ellipse|em|fieldset|figcaption|figure|footer|form|g|h[1-6]|header|hr|i|input|kbd|label|legend|li|line|main|meter|nav|ol|optgroup|option|p|path|polygon|polyline|pre|progress|rect|section|select|small|span|strong|style|sub|summary|sup|svg|table|tbody|td|text|textarea|tfoot|th|thead|title|tr|tspan|ul";
const STRANGE = new RegExp(`<(?!/?(?:${ELEMENTS})[\\s/>]|!>|!--)|[\\s"'/]on[a-z]{3,}\\s*=|javascript:`, "i");
globalThis.trustedTypes?.createPolicy("default", {
  createHTML: (text) => (STRANGE.test(text) ? null : text),
  createScriptURL: (text) => (new URL(text, document.baseURI).origin === location.origin ? text : null),
});

/** What is said where the module, which has all other words, is not there yet or not at all. */
const CHINESE = {
  "This browser has no WebAssembly, or it is switched off.": "此浏览器没有 WebAssembly，或已将其关闭。",
  "The policy of this site forbids WebAssembly: its script-src needs 'wasm-unsafe-eval'.":
    "本站策略禁止 WebAssembly：其 script-src 需要 'wasm-unsafe-eval'。",
  "The calculator could not be loaded": "计算器未能加载",
  "Your question is kept in the address. The same answers come from the command line, gpu-mem-calc.":
    "你的问题保存在地址中。命令行 gpu-mem-calc 给出同样的结果。",
  "Try again": "重试",
  "A new version of the calculator is ready. Your question is kept.": "计算器有新版本可用。你的问题会保留。",
  "Load it": "加载",
};

/** As the page chooses (src/ui/language): what the reader chose before, or the first language of the browser that is known. */
const inChinese = (() => {
  let chosen;
  try { chosen = localStorage.getItem("gpu-mem-calc.language"); } catch { /* Storage is forbidden. */ }
  const known = [chosen, ...navigator.languages].find((tag) => /^(en|zh)\b/i.test(tag ?? ""));
  return /^zh/i.test(known ?? "");
})();

const say = (text) => (inChinese && CHINESE[text]) || text;

if (inChinese) {
  document.documentElement.lang = "zh-Hans";
  for (const words of document.querySelectorAll("[data-zh]")) words.textContent = words.dataset.zh;
}

/** Shows a line at the top of the page with a button, built without markup from text. */
function notice(id, text, action, act) {
  document.getElementById(id)?.remove();
  const line = document.createElement("div");
  line.id = id;
  line.className = "page-notice";
  line.setAttribute("role", "status");
  const words = document.createElement("p");
  words.textContent = text;
  line.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = action;
    button.addEventListener("click", () => act(line));
    line.append(button);
  }
  document.body.prepend(line);
}

/** Why the module did not start, as far as can be told, in words for a reader. */
function reason(error) {
  if (typeof WebAssembly !== "object") return say("This browser has no WebAssembly, or it is switched off.");
  if (error instanceof WebAssembly.CompileError && /Content Security Policy|unsafe-eval/i.test(String(error))) {
    return say("The policy of this site forbids WebAssembly: its script-src needs 'wasm-unsafe-eval'.");
  }
  return `${say("The calculator could not be loaded")} (${error?.message ?? error}).`;
}

// In a frame, the document around it may ask for the height: it sends one message, and gets each change of height.
if (window.parent !== window) {
  addEventListener("message", (event) => {
    if (event.source !== window.parent || event.data?.type !== "gpu-mem-calc:height?") return;
    const tell = () => event.source.postMessage(
      { type: "gpu-mem-calc:height", height: Math.ceil(document.documentElement.getBoundingClientRect().height) },
      // A document without an origin of its own (a file) can only be answered without naming one; a height is no secret.
      event.origin === "null" ? "*" : event.origin,
    );
    document.documentElement.classList.add("framed");
    new ResizeObserver(tell).observe(document.documentElement);
    tell();
  });
}

try {
  await init({ module_or_path: new URL("./MODULE_bg.wasm", import.meta.url) });
} catch (error) {
  notice(
    "not-started",
    `${reason(error)} ${say("Your question is kept in the address. The same answers come from the command line, gpu-mem-calc.")}`,
    say("Try again"),
    () => location.reload(),
  );
  throw error;
}

// Kept for use without a network, where the browser allows it: over https or on this machine, and not in a frame of others.
if ("serviceWorker" in navigator && window.parent === window && location.protocol !== "file:") {
  const keep = async () => {
    const registration = await navigator.serviceWorker.register(new URL("./sw.js", import.meta.url));
    const offer = () => {
      // The first version of all replaces nothing.
      if (!registration.waiting || !navigator.serviceWorker.controller) return;
      notice("update", say("A new version of the calculator is ready. Your question is kept."), say("Load it"), (line) => {
        line.remove();
        navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
        registration.waiting?.postMessage("take over");
      });
    };
    registration.addEventListener("updatefound", () =>
      registration.installing?.addEventListener("statechange", offer));
    offer();
  };
  // A browser that forbids storage, or a site that does not serve the file, leaves the page as it is: it works online.
  const later = () => setTimeout(() => keep().catch(() => {}), 1000);
  if (document.readyState === "complete") later();
  else addEventListener("load", later, { once: true });
}
