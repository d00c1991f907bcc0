#!/bin/bash
GPT_MODEL_ARGS=(
)
torchrun --nproc_per_node 8 --nnodes 2 pretrain_gpt.py \
    --num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 2048 --max-position-embeddings 2048 \
    --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2 --micro-batch-size 1 --global-batch-size 32 \
    --bf16 --use-distributed-optimizer --sequence-parallel --recompute-granularity selective --vocab-size 50257
