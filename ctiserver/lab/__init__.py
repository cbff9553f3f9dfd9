"""What runs a PBX for those who try the product or test it: a private Asterisk, the demo, the fault drill."""
