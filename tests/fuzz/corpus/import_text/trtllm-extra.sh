cat > extra_llm_api_options.yaml <<'OPTIONS'
kv_cache_config:
  dtype: fp8
  enable_block_reuse: false
cuda_graph_config: null
OPTIONS
trtllm-serve meta-llama/Llama-3.1-8B --extra_llm_api_options extra_llm_api_options.yaml
