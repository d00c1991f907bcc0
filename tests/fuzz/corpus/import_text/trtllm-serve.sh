trtllm-serve meta-llama/Llama-3.1-8B --backend pytorch --max_batch_size 64 --max_num_tokens 8192 --tp_size 2 --kv_cache_free_gpu_memory_fraction 0.85 --port 8000
