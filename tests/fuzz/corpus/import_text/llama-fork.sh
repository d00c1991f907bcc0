llama-server -m DeepSeek-V2-Lite-IQ4_XS.gguf -mla 3 -amb 512 -fmoe -c 16384
