"""The search for student and teachers: search space, costs, latency, evolution, scoring."""
