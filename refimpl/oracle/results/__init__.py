"""Outcomes, the report that they make, and its formats: terminal, JSON lines, HTML, JUnit, badge."""
