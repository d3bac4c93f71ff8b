"""What a team promises, when it works and whom it tells: `teams.toml`, read, checked, and asked."""
