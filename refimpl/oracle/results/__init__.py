"""Outcomes, reports of them, and the formats: terminal, JSON lines, HTML, JUnit, badge."""
