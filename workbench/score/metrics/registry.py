"""The metrics of generated answers, one file each, one line each."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.score.metrics.bleu import BLEU
from workbench.score.metrics.chrf import CHRF, CHRF_PLUS_PLUS
from workbench.score.metrics.code import CODE
from workbench.score.metrics.contains import CONTAINS
from workbench.score.metrics.exact_match import EXACT_MATCH
from workbench.score.metrics.json_answers import JSON_SCHEMA, JSON_VALID
from workbench.score.metrics.label import LABEL
from workbench.score.metrics.metric import Metric
from workbench.score.metrics.numeric import NUMERIC
from workbench.score.metrics.regex_match import REGEX_MATCH
from workbench.score.metrics.rouge import ROUGE1, ROUGE2, ROUGE_L, ROUGE_LSUM
from workbench.score.metrics.token_f1 import TOKEN_F1
from workbench.score.metrics.tool_calls import TOOL_CALL, TOOL_NAME

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        EXACT_MATCH, TOKEN_F1, CONTAINS, LABEL, NUMERIC, ROUGE1, ROUGE2, ROUGE_L, ROUGE_LSUM, BLEU, CHRF,
        CHRF_PLUS_PLUS, REGEX_MATCH, JSON_VALID, JSON_SCHEMA, TOOL_CALL, TOOL_NAME, CODE,
    )
}  # fmt: skip
