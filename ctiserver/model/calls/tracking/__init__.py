"""The calls of one PBX: a table from what it says to what that does, pure, live and in replay alike.

``tracker`` holds the table; ``book`` what is known; the others what each kind of signal does to it. Nothing is illegal
here: a PBX may be joined inside a call, events may be missing, late or twice; what can be known is kept, the rest
is marked ``reconstructed``. The pitfalls behind the rules are in docs/explanation/calls.md.
"""
