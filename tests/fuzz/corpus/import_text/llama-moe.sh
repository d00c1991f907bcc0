./build/bin/llama-server --model Qwen3-30B-A3B-Q8_0.gguf --n-cpu-moe 20 --n-gpu-layers 30 --no-mmap -t 16
