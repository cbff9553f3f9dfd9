"""Clean systems: minimal Debians (and an Ubuntu) of their own, in which the README is tried as a newcomer would."""
