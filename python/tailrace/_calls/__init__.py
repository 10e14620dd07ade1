"""One call to a site: opened, asked again, held to a site's limits."""
