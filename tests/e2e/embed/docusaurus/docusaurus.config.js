export default {
  title: "Handbook",
  url: "http://localhost",
  baseUrl: "/docusaurus/",
  onBrokenLinks: "ignore",
  presets: [["classic", { docs: { routeBasePath: "/" }, blog: false }]],
  scripts: [{ src: "/calc/gpu-mem-calc.js", type: "module" }],
};
