"""Fixtures of the browser tests."""

from __future__ import annotations

from tests.browser.chromium import browser, page, page_errors, page_options

__all__ = ["browser", "page", "page_errors", "page_options"]
