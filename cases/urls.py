"""Addresses of the knowledge base; the queue and triage belong to vision."""

from django.urls import path

from cases.views import case, catalogue, intake, media, options, resolution

urlpatterns = [
    path("cases/new", intake.case_new, name="case-create"),
    path("cases/<str:number>", case.case_detail, name="case-detail"),
    path("cases/<str:number>/edit", case.case_edit, name="case-edit"),
    path("cases/<str:number>/status", case.case_move, name="case-move"),
    path("cases/<str:number>/images", case.case_images_add, name="case-images-add"),
    path("cases/<str:number>/resolution", resolution.resolution_edit, name="resolution-edit"),
    path("categories", catalogue.category_list, name="category-list"),
    path("categories/<str:code>", catalogue.category_detail, name="category-detail"),
    path("actions", catalogue.action_list, name="action-list"),
    path("actions/<str:code>", catalogue.action_detail, name="action-detail"),
    path("options/<str:kind>", options.option_list, name="option-list"),
    path("images/<int:pk>/thumbnail", media.image, {"size": "thumbnail"}, name="image-thumbnail"),
    path("images/<int:pk>/preview", media.image, {"size": "preview"}, name="image-preview"),
    path("images/<int:pk>/original", media.image, {"size": "original"}, name="image-original"),
    path("examples/<int:pk>/thumbnail", media.example, {"size": "thumbnail"}, name="example-thumbnail"),
    path("examples/<int:pk>/preview", media.example, {"size": "preview"}, name="example-preview"),
]
