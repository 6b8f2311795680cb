"""What a provider is asked to keep of the requests of a job, so that its other requests read it."""
