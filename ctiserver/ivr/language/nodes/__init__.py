"""The node kinds: what each is written as, what it can end with, and what it does."""
