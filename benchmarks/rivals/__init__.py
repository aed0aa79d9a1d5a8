"""What people would write or use instead of nbvault, each with requirements of its own."""
