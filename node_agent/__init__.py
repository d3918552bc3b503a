"""What runs on every Pi: vitals, details, orders, presence; and the simulator."""
