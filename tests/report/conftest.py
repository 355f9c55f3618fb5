from __future__ import annotations

import pytest
from report_artifacts import built, make_run

from workbench.report.model import ReportModel


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ReportModel:
    """The report of a complete run that is inconclusive. Immutable, so all tests share it."""
    return built(make_run(tmp_path_factory.mktemp("report")))
