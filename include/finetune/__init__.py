"""Daily finetune, its pure parts: dates, the learning rate that begin hands over, what a checkpoint fixes."""
