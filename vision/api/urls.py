"""The API's addresses of search, diagnoses and figures."""

from django.urls import re_path
from rest_framework.routers import SimpleRouter

from vision.api import adaptation, diagnoses, inspection, search, stats, text_search

router = SimpleRouter()
router.register("diagnoses", diagnoses.DiagnosisViewSet, "api-diagnosis")
router.register("inspectors", inspection.InspectorViewSet, "api-inspector")
router.register("inspections", inspection.InspectionViewSet, "api-inspection")

_CASE = r"^cases/(?P<number>[^/\x00]+)"
urlpatterns = [
    re_path(r"^search/?$", search.SearchView.as_view(), name="api-search"),
    re_path(r"^search/text/?$", text_search.TextSearchView.as_view(), name="api-search-text"),
    re_path(
        r"^images/(?P<pk>[0-9]+)/similar/?$", search.ImageSimilarView.as_view(), name="api-image-similar"
    ),
    re_path(r"^inspect/?$", inspection.InspectView.as_view(), name="api-inspect"),
    re_path(r"^adaptation/?$", adaptation.AdaptationView.as_view(), name="api-adaptation"),
    re_path(r"^adaptation/undo/?$", adaptation.AdaptationUndoView.as_view(), name="api-adaptation-undo"),
    re_path(r"^stats/?$", stats.StatsView.as_view(), name="api-stats"),
    re_path(_CASE + r"/diagnose/?$", diagnoses.CaseDiagnoseView.as_view(), name="api-case-diagnose"),
    re_path(_CASE + r"/decide/?$", diagnoses.CaseDecideView.as_view(), name="api-case-decide"),
]
