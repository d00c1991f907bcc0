project = "Handbook"
html_theme = "alabaster"
html_js_files = [("/calc/gpu-mem-calc.js", {"type": "module"})]
