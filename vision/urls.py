"""Addresses of the queue, of triage, of searches and of the library."""

from django.urls import include, path

from vision.views import adaptation, library, picture_search, queue, text_search, triage

urlpatterns = [
    path("", queue.case_list, name="case-list"),
    path("cases/<str:number>/triage", triage.triage, name="case-triage"),
    path("cases/<str:number>/triage/verdict", triage.verdict, name="case-verdict"),
    path("cases/<str:number>/triage/decision", triage.decide, name="case-decide"),
    path("search/pictures", picture_search.picture_search, name="picture-search"),
    path("images/<int:pk>/similar", picture_search.image_similar, name="image-similar"),
    path("search", text_search.text_search_page, name="text-search"),
    path("library", library.library_status, name="library-status"),
    path("library/adapt", adaptation.adaptation_begin, name="library-adapt"),
    path("library/adapt/undo", adaptation.adaptation_take_back, name="library-adapt-undo"),
    path("library/progress", library.library_progress, name="library-progress"),
    path("", include("vision.inspection_urls")),
]
