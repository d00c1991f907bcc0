docker run --gpus all --shm-size 1g ghcr.io/huggingface/text-generation-inference:3.3.5
text-generation-launcher --model-id meta-llama/Llama-3.1-8B --num-shard 2 --max-total-tokens 8192 --max-input-tokens 4096 --max-batch-prefill-tokens 4096 --quantize fp8
