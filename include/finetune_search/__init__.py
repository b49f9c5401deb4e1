"""A search over what every day of a finetune chain is trained with: its opening, and where it starts from."""
