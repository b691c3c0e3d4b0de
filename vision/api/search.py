"""Search with pictures: those of a request, which are not stored, and those of cases."""

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from cases.api.errors import ProblemSerializer
from cases.api.parsers import MultiPartParser
from cases.api.uploads import pictures_read
from cases.models import CaseImage
from vision.api.serializers import (
    RegionRequestSerializer,
    SearchRequestSerializer,
    SearchResponseSerializer,
)
from vision.services.search import pictures_search, region_search


class SearchView(APIView):
    required_permissions = ["cases.view_case"]
    throttle_scope = "search"
    parser_classes = [MultiPartParser]

    @extend_schema(
        summary="Find similar past cases",
        request=SearchRequestSerializer,
        responses=SearchResponseSerializer,
        operation_id="search",
        tags=["search"],
    )
    def post(self, request):
        """Answer in one request with similar past cases, their causes and actions, and probable categories.

        Several pictures are views of one thing and give one answer. With `region`, which takes a single
        picture, only this part of it is looked at. Nothing is stored.
        """
        serializer = SearchRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        result = pictures_search(
            pictures_read(serializer.validated_data["images"]),
            region=serializer.region_or_whole(),
            top_k=serializer.validated_data["top_k"],
            filters=serializer.filters(),
        )
        return Response(SearchResponseSerializer(result, context={"request": request}).data)


class ImageSimilarView(APIView):
    required_permissions = ["cases.view_case"]
    throttle_scope = "search"

    @extend_schema(
        summary="Find past cases similar to a picture of a case",
        parameters=[RegionRequestSerializer],
        responses={
            200: SearchResponseSerializer,
            400: OpenApiResponse(ProblemSerializer, "The request is wrong: `errors` says what, by field."),
        },
        operation_id="images_similar",
        tags=["search"],
    )
    def get(self, request, pk):
        """Search with a stored picture or, with `region`, a part of it. Its own case is not in the answer."""
        image = get_object_or_404(
            CaseImage.objects.visible_to(request.user).select_related("file", "case"), pk=pk
        )
        serializer = RegionRequestSerializer(data=request.query_params)
        serializer.is_valid(raise_exception=True)
        result = region_search(
            image,
            serializer.region_or_whole(),
            top_k=serializer.validated_data["top_k"],
            filters=serializer.filters(),
        )
        return Response(SearchResponseSerializer(result, context={"request": request}).data)
