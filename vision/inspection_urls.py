"""Addresses of inspection, and of the inspectors."""

from django.urls import path

from vision.views.inspection import console, detail, history, inspector_pictures, inspectors, media

urlpatterns = [
    path("inspection", console.console, name="inspection-console"),
    path("inspection/history", history.history, name="inspection-history"),
    path("inspection/history.csv", history.export, name="inspection-export"),
    path("inspection/<int:pk>", detail.detail, name="inspection-detail"),
    path("inspection/<int:pk>/similar", detail.similar, name="inspection-similar"),
    path("inspection/<int:pk>/case", detail.case_open, name="inspection-case"),
    path("inspection/<int:pk>/report.pdf", detail.report, name="inspection-report"),
    path("inspection/<int:pk>/picture", media.picture, name="inspection-picture"),
    path("inspection/<int:pk>/thumbnail", media.thumbnail, name="inspection-thumbnail"),
    path("inspection/<int:pk>/heat.png", media.heat, name="inspection-heat"),
    path("inspection/<int:pk>/overlay.png", media.overlay, name="inspection-overlay"),
    path("inspection/<int:pk>/regions/<int:number>", media.region, name="inspection-region"),
    path(
        "inspection/<int:pk>/regions/<int:number>/good/<int:place>",
        media.evidence,
        name="inspection-evidence",
    ),
    path("inspectors", inspectors.inspector_list, name="inspector-list"),
    path("inspectors/new", inspectors.inspector_new, name="inspector-create"),
    path("inspectors/<int:pk>", inspectors.inspector_detail, name="inspector-detail"),
    path("inspectors/<int:pk>/edit", inspectors.inspector_edit, name="inspector-edit"),
    path("inspectors/<int:pk>/train", inspectors.inspector_train, name="inspector-train"),
    path("inspectors/<int:pk>/progress", inspectors.inspector_progress, name="inspector-progress"),
    path(
        "inspectors/<int:pk>/pictures/<str:purpose>",
        inspector_pictures.inspector_pictures,
        name="inspector-pictures",
    ),
    path(
        "inspectors/versions/<int:pk>/activate",
        inspectors.version_serve,
        name="inspector-version-activate",
    ),
    path(
        "inspectors/versions/<int:pk>/evaluate",
        inspectors.version_evaluate,
        name="inspector-version-evaluate",
    ),
    path(
        "inspectors/pictures/<int:pk>/remove",
        inspector_pictures.inspector_picture_away,
        name="inspector-picture-remove",
    ),
    path(
        "inspectors/pictures/<int:pk>/thumbnail",
        media.inspector_picture,
        {"size": "thumbnail"},
        name="inspector-picture-thumbnail",
    ),
    path(
        "inspectors/pictures/<int:pk>/preview",
        media.inspector_picture,
        {"size": "preview"},
        name="inspector-picture-preview",
    ),
]
