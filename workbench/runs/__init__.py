"""Run folders on disk: the only code that writes them. Knows no torch, no gradio."""
