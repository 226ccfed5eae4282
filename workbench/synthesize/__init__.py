"""Write inputs that look like the task's, from a handful of seeds (paper section 3, step 5)."""
