"""One folder per thing a user would name; they never import one another."""
