llama-server -m models/Llama-3.1-8B-Q4_K_M.gguf -c 32768 -np 4 -ngl 99 -fa on -ctk q8_0 -ctv q8_0 -ub 1024 --host 0.0.0.0
