"""Everything that knows AMI: the link to each Asterisk, what it says, and what it is told to do."""
