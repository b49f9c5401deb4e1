"""Programs for people and tests; nothing of the product imports them."""
