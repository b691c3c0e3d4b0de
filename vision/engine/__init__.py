"""What is seen, in pure numpy, torch, faiss and Pillow: usable without Django, from a notebook."""
