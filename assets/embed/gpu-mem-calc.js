// <gpu-mem-calc>: the calculator as an element of any document, in a shadow root of its own.
//
//   <script type="module" src="https://example.org/calc/gpu-mem-calc-VERSION.js"></script>
//   <gpu-mem-calc model="llama-3.1-8b" question="en=fsdp&gn=8">What is shown without JavaScript.</gpu-mem-calc>
//
// All elements of a document share one module, which is fetched when the first of them comes into view. What stands inside
// the element is shown until then, and stays where the module cannot run. The element touches neither the document's
// address, history and storage nor its focus.

const BASE = new URL("./", import.meta.url);
const BINDINGS = new URL("./MODULE.js", BASE);

/** How far outside the view an element may be when its module is fetched. */
const AHEAD = "200px";

let loading;

/** The module and its styles, fetched once for all elements of the document. */
function load() {
  loading ??= (async () => {
    const styles = async () => {
      const answer = await fetch(new URL("./EMBED_CSS", BASE));
      if (!answer.ok) throw new Error(`the styles could not be loaded (${answer.status})`);
      const sheet = new CSSStyleSheet();
      return sheet.replace(await answer.text());
    };
    const module = async () => {
      const bindings = await import(BINDINGS.href);
      await bindings.default({ module_or_path: new URL("./MODULE_bg.wasm", BASE) });
      return bindings;
    };
    const [sheet, bindings] = await Promise.all([styles(), module()]);
    return { sheet, mount: bindings.mount };
  })();
  // What failed for want of a network may be tried again by the next element.
  loading.catch(() => { loading = undefined; });
  return loading;
}

/** The keys that stand in front of the question, by attribute. */
const PARTS = { tab: "tab", preset: "preset", model: "m" };

/** Whether a colour of the document is dark, by its relative luminance; nothing where it is transparent. */
function isDark(colour) {
  const [red, green, blue, alpha = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  if (alpha === 0 || blue === undefined) return undefined;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128;
}

class GpuMemCalc extends HTMLElement {
  static observedAttributes = ["tab", "model", "preset", "question", "theme", "readonly", "lang"];

  #frame;
  #mounted;
  #started = false;
  #view;
  #document;
  #asked;

  connectedCallback() {
    if (!this.shadowRoot) {
      this.attachShadow({ mode: "open" }).append(document.createElement("slot"));
    }
    if (this.#mounted || this.#view) return;
    this.#view = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#start();
    }, { rootMargin: AHEAD });
    this.#view.observe(this);
  }

  disconnectedCallback() {
    // An element that is only moved is back within the same turn.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#view?.disconnect();
      this.#document?.disconnect();
      this.#mounted?.free();
      this.#view = this.#document = this.#mounted = undefined;
      this.#started = false;
      this.shadowRoot.replaceChildren(document.createElement("slot"));
    });
  }

  attributeChangedCallback(name) {
    if (!this.#mounted) return;
    if (name === "theme") this.#follow();
    else if (name === "lang") this.#mounted.speak(this.#language());
    else if (name === "readonly") this.#frame.toggleAttribute("data-readonly", this.hasAttribute("readonly"));
    else if (this.#question() !== this.#asked) {
      this.#asked = this.#question();
      this.#mounted.ask(this.#asked);
    }
  }

  /** The question that the attributes ask, as it stands in the page's address. */
  #question() {
    const parts = Object.entries(PARTS)
      .filter(([name]) => this.getAttribute(name))
      .map(([name, key]) => `${key}=${encodeURIComponent(this.getAttribute(name))}`);
    const question = this.getAttribute("question")?.replace(/^#/, "");
    return [...parts, ...(question ? [question] : [])].join("&");
  }

  /** The language that the element, or what stands around it, is in. */
  #language() {
    let one = this;
    while (one && !one.getAttribute?.("lang")) one = one.parentElement ?? one.getRootNode().host;
    return one?.getAttribute("lang") ?? "en";
  }

  async #start() {
    if (this.#started) return;
    this.#started = true;
    this.#view?.disconnect();
    try {
      const { sheet, mount } = await load();
      if (!this.isConnected) return;
      this.shadowRoot.adoptedStyleSheets = [sheet];
      this.#frame = document.createElement("div");
      this.#frame.className = "calculator";
      this.#frame.lang = this.#language();
      this.#frame.toggleAttribute("data-readonly", this.hasAttribute("readonly"));
      this.shadowRoot.replaceChildren(this.#frame);
      this.#follow();
      this.#asked = this.#question();
      this.#mounted = mount(this.#frame, this.#asked, BASE.href, BINDINGS.href, (text) => this.#tell("result", JSON.parse(text)));
      this.#tell("ready", {});
    } catch (error) {
      // What stands inside the element is still shown.
      this.#started = false;
      this.#tell("error", { message: String(error?.message ?? error) });
    }
  }

  /** Tells the document: `gpu-mem-calc-result`, `gpu-mem-calc-ready`, `gpu-mem-calc-error`. */
  #tell(what, detail) {
    this.dispatchEvent(new CustomEvent(`gpu-mem-calc-${what}`, { detail, bubbles: true, composed: true }));
  }

  /** Light or dark: as the attribute says, or like the document around the element, also when that changes. */
  #follow() {
    const said = this.getAttribute("theme");
    this.#document?.disconnect();
    this.#document = undefined;
    if (said === "light" || said === "dark") {
      this.#frame.dataset.theme = said;
      return;
    }
    const watch = new MutationObserver(() => { look(); setTimeout(look, 400); });
    this.#document = watch;
    const look = () => {
      // Another theme was chosen, or the element is gone, before colours had faded.
      if (this.#document !== watch) return;
      let dark;
      for (let one = this; one && dark === undefined; one = one.parentElement ?? one.getRootNode().host) {
        dark = isDark(getComputedStyle(one).backgroundColor);
      }
      if (dark === undefined) delete this.#frame.dataset.theme;
      else this.#frame.dataset.theme = dark ? "dark" : "light";
    };
    look();
    // Themes change an attribute of the root or of the body, and colours often fade to their new value.
    for (const one of [document.documentElement, document.body]) {
      watch.observe(one, { attributes: true });
    }
  }
}

if (!customElements.get("gpu-mem-calc")) customElements.define("gpu-mem-calc", GpuMemCalc);
