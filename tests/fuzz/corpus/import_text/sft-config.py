config = SFTConfig(max_length=4096, per_device_train_batch_size=1, bf16=True, packing=True, output_dir='o')
