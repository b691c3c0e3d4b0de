"""The knowledge base over HTTP: parse, call a service, present. `urls.router` has every address."""
