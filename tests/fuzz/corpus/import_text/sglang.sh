python3 -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B --tp 4 --mem-fraction-static 0.85 --chunked-prefill-size 4096 --context-length 32768 --disable-radix-cache
