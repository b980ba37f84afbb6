"""What an audit costs beside a plain forward pass and beside what users run instead."""
