"""Pinned models: immutable folders named by digest, opened with care, run by ONNX Runtime."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
"""ONNX Runtime reads this when it is imported, here and in what is started from here: else it tells its maker of each session."""
