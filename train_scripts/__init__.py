"""The commands, one module per command; `synthmammo` offers the same ones."""
