"""Findings as SARIF 2.1.0, the format in which linters hand annotations to editors and continuous integration."""

from pathlib import Path
from typing import Any

from descend.findings import Finding, Findings
from descend.reporting.versions import version

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
REMARKS = ("smooth", "discrete", "stochastic", "constrained", "unread")  # say what is so, not that something is wrong


def sarif(findings: Findings, file: str) -> dict[str, Any]:
    """Findings as a SARIF log.

    Args:
        findings: what was found.
        file: where to put findings that have no line of their own: the file of the problem.
    """
    words = sorted({finding.what for finding in findings})
    driver = {"name": "descend", "version": version("descend"), "rules": [{"id": word} for word in words]}
    results = [_result(finding, file) for finding in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, file: str) -> dict[str, Any]:
    where = "" if "file" in finding.where else f" ({finding.place()})"
    cure = f"; {finding.cure} would help" if finding.cure else ""
    return {
        "ruleId": finding.what,
        "level": "note" if finding.what in REMARKS else "warning",
        "message": {"text": f"{finding.what}{where}{cure}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(finding.where.get("file", file))},
                    "region": {"startLine": int(finding.where.get("line", 1))},
                }
            }
        ],
    }


def _uri(file: str) -> str:
    """Relative to the working folder where the file lies below it, so that annotations land on files of a checkout."""
    path = Path(file).resolve()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.as_uri()
