"""Watch a language model that the Trainer trains; what it reports to has the spectra too.

pip install 'spectail[transformers]' tensorboard
"""

from importlib.util import find_spec

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from spectail import SpectralTrainerCallback, every


def main() -> None:
    config = GPT2Config(
        vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, pad_token_id=0
    )
    tokens = torch.randint(64, (128, 32))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    callback = SpectralTrainerCallback(when=every(8), path="run.nc", existing="replace")
    arguments = TrainingArguments(
        "out",
        num_train_epochs=2,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        logging_steps=4,
        save_strategy="no",
        use_cpu=True,
        report_to=["tensorboard"] if find_spec("tensorboard") else [],  # or "wandb", "mlflow", …
    )
    Trainer(GPT2LMHeadModel(config), arguments, train_dataset=rows, callbacks=[callback]).train()
    print(callback.monitor)


if __name__ == "__main__":
    main()
