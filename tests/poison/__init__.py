"""The worst that each service can meet: what it reads is poisoned, and the row, event or call beside it gets through."""
