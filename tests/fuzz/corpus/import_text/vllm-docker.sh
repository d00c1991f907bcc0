docker run --gpus all -p 8000:8000 vllm/vllm-openai:latest \
  vllm serve Qwen/Qwen3-8B --max-model-len 32k --quantization fp8 --speculative-config '{"method": "mtp", "num_speculative_tokens": 1}'
