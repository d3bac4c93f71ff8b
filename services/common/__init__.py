"""What the services share: settings, keys, problem bodies, health routes and logging. Knows no service."""
