"""The measured process: one trial, alone, in its framework's environment."""
