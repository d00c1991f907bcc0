export TGI_WIGGLE_ROOM=0.9
export ATTENTION=paged
text-generation-launcher --model-id meta-llama/Llama-3.1-8B --cuda-memory-fraction 0.5 --cuda-graphs 0
