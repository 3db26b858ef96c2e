"""Keepsake's model server: vLLM's OpenAI-compatible server, started the same way on CPU and CUDA."""
