"""Tokens: hashed in the database, shown once, expiring."""

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiResponse, extend_schema
from knox.views import LoginView as KnoxLoginView
from knox.views import LogoutAllView as KnoxLogoutAllView
from knox.views import LogoutView as KnoxLogoutView
from rest_framework import exceptions, serializers
from rest_framework.authentication import BasicAuthentication
from rest_framework.permissions import AllowAny

from cases.api.throttles import LoginThrottle

_GONE = OpenApiResponse(description="Logged out.")


class CredentialsSerializer(serializers.Serializer):
    username = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)


class TokenSerializer(serializers.Serializer):
    token = serializers.CharField(help_text="Send it as `Authorization: Token …`. It is not shown again.")
    expiry = serializers.DateTimeField(help_text="The token is of no use after this moment.")


class LoginView(KnoxLoginView):
    # The password is looked at in `post`, after the throttle: attempts that fail are counted as well.
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    def get_authenticate_header(self, request):
        return 'Basic realm="faultdiag"'

    @extend_schema(
        summary="Log in: get a token",
        request=CredentialsSerializer,
        responses={200: TokenSerializer},
        auth=[{"basicAuth": []}, {}],
        tags=["auth"],
    )
    def post(self, request, format=None):
        """Get a token for a user name and password, sent as HTTP Basic or as JSON."""
        request.user = self._user(request)
        return super().post(request, format)

    def _user(self, request):
        basic = BasicAuthentication().authenticate(request)
        if basic:
            return basic[0]
        credentials = CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = authenticate(request=request._request, **credentials.validated_data)
        if user is None:
            raise exceptions.AuthenticationFailed("No open account has this user name and password.")
        return user


@extend_schema(summary="Log out", request=None, responses={204: _GONE}, tags=["auth"])
class LogoutView(KnoxLogoutView):
    """Make the token of this request useless."""


@extend_schema(summary="Log out everywhere", request=None, responses={204: _GONE}, tags=["auth"])
class LogoutAllView(KnoxLogoutAllView):
    """Make all tokens of this account useless."""
