// Starts the calculator from one file: everything it needs stands compressed in the document, and nothing is fetched.
(async () => {
  const packed = (id) => document.getElementById(id);
  /** The bytes of an element whose text is gzip in base64, as an answer of the given type. */
  const unpacked = (id, type) => {
    const text = packed(id).textContent.trim();
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream, { headers: { "content-type": type } });
  };
  /** Where the page finds what is a file of the site elsewhere. */
  for (const element of document.querySelectorAll("script[data-file]")) {
    const { file, type } = element.dataset;
    const link = document.createElement("link");
    link.setAttribute("data-file", file);
    link.href = URL.createObjectURL(new Blob([await unpacked(element.id, type).arrayBuffer()], { type }));
    document.head.append(link);
    element.remove();
  }
  try {
    await wasm_bindgen({ module_or_path: unpacked("module", "application/wasm") });
    packed("module").remove();
  } catch (error) {
    const line = document.createElement("p");
    line.className = "page-notice";
    line.setAttribute("role", "alert");
    line.textContent = `The calculator could not be started in this browser (${error?.message ?? error}).`;
    document.body.prepend(line);
    throw error;
  }
})();
