"""Every address of the API, with or without a slash at the end: tokens, records, search, documentation."""

from django.contrib.auth.decorators import login_required
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import IsAuthenticated
from rest_framework.routers import APIRootView, DefaultRouter

from cases.api import auth
from cases.api.urls import router as cases_router
from vision.api import urls as vision


class Overview(APIRootView):
    """The lists of this API. Its documentation is at docs/."""

    permission_classes = [IsAuthenticated]


class Router(DefaultRouter):
    include_format_suffixes = False
    APIRootView = Overview

    def __init__(self):
        super().__init__()
        self.trailing_slash = "/?"


router = Router()
router.registry.extend(cases_router.registry)
router.registry.extend(vision.router.registry)

# Swagger UI alone: ReDoc asks an outside host for its logo. People log in by session to read it.
_swagger = SpectacularSwaggerSplitView.as_view(url_name="api-schema", template_name="api/swagger.html")

urlpatterns = [
    re_path(r"^auth/login/?$", auth.LoginView.as_view(), name="api-login"),
    re_path(r"^auth/logout/?$", auth.LogoutView.as_view(), name="api-logout"),
    re_path(r"^auth/logoutall/?$", auth.LogoutAllView.as_view(), name="api-logout-all"),
    re_path(r"^schema/?$", SpectacularAPIView.as_view(), name="api-schema"),
    re_path(r"^docs/?$", login_required(_swagger), name="api-docs"),
    path("", include(vision.urlpatterns)),
    path("", include(router.urls)),
]
