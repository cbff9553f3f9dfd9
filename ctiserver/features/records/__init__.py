"""Service records (服务单): what a caller wants, and all that is done about it."""
