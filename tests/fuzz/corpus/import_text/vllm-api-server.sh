python -m vllm.entrypoints.openai.api_server --model=Qwen/Qwen3-32B --dtype bfloat16 -tp 4 --kv-cache-dtype fp8 --enforce-eager --no-enable-chunked-prefill
