"""What is known of the rack: boards, outlets, places, locks and history; settings."""
