python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B --speculative-algorithm EAGLE3 --speculative-num-draft-tokens 4
