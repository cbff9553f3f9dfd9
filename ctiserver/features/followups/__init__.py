"""Follow-ups: calls that the server makes to customers, and the records that data raises without one."""
