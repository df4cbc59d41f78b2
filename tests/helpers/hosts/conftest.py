"""The hosts' files have the host's names, test.py and test_options.py among them; they are no tests."""

collect_ignore = ["common", "p1", "p2", "stubs"]
