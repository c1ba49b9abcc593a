"""NVIDIA Triton as a model runtime: its environment, a model repository, and a starter."""
