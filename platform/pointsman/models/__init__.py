"""Pinned models: immutable folders named by digest, opened with care, run by ONNX Runtime."""
