"""The install run: a state machine that is on disk before it acts."""
