"""The report as files for people and other programs: a page and a JUnit file."""
