"""The live board: what each queue came to today, call by call; and what a supervisor does about it."""
