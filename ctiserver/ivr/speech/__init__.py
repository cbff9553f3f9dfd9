"""What is spoken: values as words, prompts, and speech engines."""
