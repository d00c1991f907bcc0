from transformers import Trainer, TrainingArguments

args = TrainingArguments(
    output_dir="out",
    per_device_train_batch_size=2,
    gradient_accumulation_steps=16,
    bf16=True,
    optim="paged_adamw_8bit",
    gradient_checkpointing=True,
)
