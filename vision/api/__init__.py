"""Search, diagnoses and figures over HTTP. `urls.router` and `urls.urlpatterns` have every address."""
