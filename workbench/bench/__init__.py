"""The quality benchmark: which way of making inputs moves a skill how far, on public tasks."""
