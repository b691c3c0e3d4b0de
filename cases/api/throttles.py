"""How often an account may call: rates by scope from the settings (login, upload, search, default)."""

from rest_framework.throttling import ScopedRateThrottle, SimpleRateThrottle


class ScopeThrottle(ScopedRateThrottle):
    """Counts by account and scope; a view set names the scopes of its actions in `throttle_scopes`."""

    def allow_request(self, request, view) -> bool:
        by_action = getattr(view, "throttle_scopes", {})
        self.scope = by_action.get(getattr(view, "action", None), getattr(view, "throttle_scope", "default"))
        self.rate = self.THROTTLE_RATES.get(self.scope)
        self.num_requests, self.duration = self.parse_rate(self.rate)
        return SimpleRateThrottle.allow_request(self, request, view)


class LoginThrottle(SimpleRateThrottle):
    """Counts attempts by address, before any password is looked at."""

    scope = "login"

    def get_cache_key(self, request, view) -> str:
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
