// For a document that shows the calculator in a frame: gives each such frame the height of its content.
//   <iframe src="https://example.org/calc/" data-gpu-mem-calc title="GPU Memory Calculator"></iframe>
//   <script src="https://example.org/calc/frame.js" defer></script>
(() => {
  const frames = () => [...document.querySelectorAll("iframe[data-gpu-mem-calc]")];
  const origin = (frame) => new URL(frame.src, document.baseURI).origin;
  const ask = (frame) => {
    // A file has no origin that could be named.
    const to = origin(frame) === "null" ? "*" : origin(frame);
    frame.contentWindow?.postMessage({ type: "gpu-mem-calc:height?" }, to);
  };
  addEventListener("message", (event) => {
    const { type, height } = event.data ?? {};
    if (type !== "gpu-mem-calc:height" || !Number.isFinite(height)) return;
    const frame = frames().find((one) => one.contentWindow === event.source && origin(one) === event.origin);
    if (frame) frame.style.height = `${Math.min(Math.max(Math.ceil(height), 320), 20000)}px`;
  });
  for (const frame of frames()) {
    frame.addEventListener("load", () => ask(frame));
    ask(frame);
  }
})();
