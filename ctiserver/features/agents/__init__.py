"""Agents: the people who take calls, their seats in the queues and their presence."""
