"""What every package needs and no broker is part of: tasks, processes."""
