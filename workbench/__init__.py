"""Workbench: every fine-tune ends in a verdict somebody can trust."""

from __future__ import annotations

__version__ = "0.1.0"
