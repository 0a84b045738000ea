"""Generations answer over HTTP, in OpenAI's words, and give way to their successors between two answers."""
