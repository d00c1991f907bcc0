vllm serve my/model --enable-dbo --ubatch-size 4 --max-num-seqs many
