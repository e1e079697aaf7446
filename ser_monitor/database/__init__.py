"""Database: sources, sessions, segments, alerts and feedback in SQLite or PostgreSQL."""
