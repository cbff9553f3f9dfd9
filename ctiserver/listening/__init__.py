"""How connections of strangers are taken in: so many, a few at a time, and none for nothing."""
