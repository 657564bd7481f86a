"""Provide what every stage stands on: errors, params, storage, parallel work, tables, progress."""
