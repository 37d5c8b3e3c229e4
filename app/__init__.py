"""What a person opens in a browser."""
