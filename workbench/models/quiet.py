"""Keeps libraries from writing progress bars and advice to stderr, which belongs to the program's own messages."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """Turns off progress bars and advice of transformers, huggingface_hub and bitsandbytes; errors still raise."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # 4 s: callers are about to need transformers anyway
    from huggingface_hub.utils.tqdm import disable_progress_bars
    from transformers.utils import logging as transformers_logging

    disable_progress_bars()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    # What one library's defaults set off in another is no news to the user.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|trl|peft)\.")
