"""Put the Res2Net unit into networks of other libraries."""
