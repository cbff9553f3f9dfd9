"""One repository per noun: how it is read and written."""
