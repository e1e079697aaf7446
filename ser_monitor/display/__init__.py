"""Display: what a person or a program sees while sessions run."""
