"""What an audit will cost, before it starts: passes, time and memory."""
