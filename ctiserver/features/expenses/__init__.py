"""What records cost: expense lines, approval, monthly settlement of outlets."""
