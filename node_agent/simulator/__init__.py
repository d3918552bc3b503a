"""A rack of invented boards that run the real agent: for demos, tests, rehearsals."""
