"""What `penstock doctor` looks at, one module a part: it finds and advises, and changes nothing."""
