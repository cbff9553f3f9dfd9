"""Records and the work that follows from them: work orders, parts, expenses, photos."""
