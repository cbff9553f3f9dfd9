"""The composition root: builds every object, joins the features, owns the one root TaskGroup."""
