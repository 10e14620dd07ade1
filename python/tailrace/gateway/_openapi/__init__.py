"""What the gateway says of itself: an OpenAPI document, and a page of it."""
